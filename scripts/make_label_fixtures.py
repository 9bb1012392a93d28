"""Writes assets/fixtures/labels: ground truth files written by tifffile, Pillow, imageio and numpy, and in want.json the
numbers that these read back. Needs numpy, tifffile, imagecodecs, Pillow, imageio."""

import json
import pathlib

import imageio.v3 as iio
import numpy as np
import tifffile
from PIL import Image

D = str(pathlib.Path(__file__).resolve().parent.parent / "assets/fixtures/labels") + "/"
ids=np.zeros((7,9),int)
ids[1:3,1:4]=1; ids[4:6,5:8]=2; ids[3,0]=3
want={}
def w(name,arr): want[name]=[int(v) for v in np.asarray(arr).ravel()]
b=ids>0
tifffile.imwrite(D+'bool.tif',b); w('bool.tif',b)
for t in 'int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64'.split():
    f=np.iinfo(t).max if t[0]!='f' else 2047
    a=ids.astype(t); a[6,8]=min(f,2**32-2) if t[0]!='f' else {'float16':2047,'float32':16777215,'float64':4294967294}[t]
    tifffile.imwrite(D+t+'.tif',a); w(t+'.tif',a.astype('int64'))
    if t in('int32','uint16'):
        tifffile.imwrite(D+t+'_be.tif',a,byteorder='>',compression='zlib',predictor=True); w(t+'_be.tif',a.astype('int64'))
    np.save(D+t+'.npy',a); w(t+'.npy',a.astype('int64'))
np.save(D+'bool.npy',b); w('bool.npy',b)
np.save(D+'be.npy',ids.astype('>i4')); w('be.npy',ids)
np.save(D+'fortran.npy',np.asfortranarray(ids.astype('i2'))); w('fortran.npy',ids)
np.save(D+'plane.npy',ids[None].astype('u2')); w('plane.npy',ids)
# MINISWHITE 8-bit as ImageJ's inverted LUT masks
tifffile.imwrite(D+'miniswhite8.tif',(b*255).astype('u1'),photometric='miniswhite'); w('miniswhite8.tif',b*255)
# palettes
pal=[0,0,0,255,0,0,0,255,0,90,90,200]
p=Image.fromarray(ids.astype('u1'),'P'); p.putpalette(pal)
p.save(D+'palette.png'); w('palette.png',ids)
p.save(D+'palette.bmp'); w('palette.bmp',ids)
p.save(D+'palette.gif'); w('palette.gif',np.array(Image.open(D+'palette.gif')))
big=np.kron(ids,np.ones((5,5),int)).astype('u1')
q=Image.fromarray(big,'P'); q.putpalette(pal); q.save(D+'interlaced.gif',interlace=1); w('interlaced.gif',np.array(Image.open(D+'interlaced.gif')))
lut=np.zeros((3,256),'u2'); lut[:,1]=[65535,0,0]; lut[:,2]=[0,65535,0]; lut[:,3]=[23130,23130,51400]
tifffile.imwrite(D+'palette.tif',ids.astype('u1'),photometric='palette',colormap=lut); w('palette.tif',ids)
tifffile.imwrite(D+'imagej_lut.tif',ids.astype('u1'),imagej=True,colormap=lut); w('imagej_lut.tif',ids)
Image.fromarray(b).save(D+'onebit.png'); w('onebit.png',b)
Image.fromarray(b).save(D+'onebit.bmp'); w('onebit.bmp',b)
Image.fromarray(b).save(D+'onebit.tif'); w('onebit.tif',b)
Image.fromarray((b*255).astype('u1')).save(D+'grey.bmp'); w('grey.bmp',b*255)
Image.fromarray((b*65535).astype('u2')).save(D+'grey16.png'); w('grey16.png',b*65535)
Image.fromarray(ids.astype('u1')).save(D+'grey.pgm'); w('grey.pgm',ids)
Image.fromarray(ids.astype('u1')).save(D+'lossless.webp',lossless=True); w('lossless.webp',ids)
rgb=np.array(pal,'u1').reshape(-1,3)[ids]
iio.imwrite(D+'rgb.png',rgb); tifffile.imwrite(D+'rgb.tif',rgb,photometric='rgb'); Image.fromarray(rgb).save(D+'rgb.bmp'); Image.fromarray(rgb).save(D+'rgb.webp',lossless=True)
np.save(D+'rgb.npy',rgb)
iio.imwrite(D+'rgba.png',np.dstack([rgb,np.full(ids.shape,255,'u1')]))
tifffile.imwrite(D+'rgb16.tif',np.moveaxis(rgb,-1,0).astype('u2')*257,photometric='rgb',planarconfig='separate')
Image.fromarray(rgb).save(D+'lossy.webp',lossless=False); Image.fromarray(rgb).save(D+'lossy.jpg')
tifffile.imwrite(D+'jpeg.tif',np.kron(ids,np.ones((8,8))).astype('u1'),compression='jpeg')
a=ids.astype('i4'); a[0,2]=-1; tifffile.imwrite(D+'minus_one.tif',a)
np.save(D+'too_large.npy',np.array([[1,2],[3,2**32]],'i8'))
np.save(D+'objects.npy',np.array({'masks':ids},dtype=object))
for n in 'rgb.png rgb.tif rgb.bmp rgb.webp rgb.npy rgba.png rgb16.tif'.split(): w('colours:'+n,ids)
json.dump(want,open(D+'want.json','w'))
for k,v in want.items(): assert len(v) in (63,63*25),(k,len(v))
