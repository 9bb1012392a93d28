// The worker: decodes, segments and trains beside the page.
import start, { work } from './unet_studio.js';

try {
  await start({ module_or_path: new URL('unet_studio_bg.wasm', import.meta.url) });
  await work();
} catch (e) {
  // A text is a failure, which the page shows.
  postMessage(String(e));
}
