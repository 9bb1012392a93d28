// What the application needs of a browser. The module imports these functions (studio/src/browser/js.rs); the page imports some.
// Every failure is an `Error` whose message is for users.

// ---- Files ----
// The application's files are a tree in memory. It is kept in the origin private file system, below this folder.
const FOLDER = 'unet-studio';
// A stored file ends with a byte more. A new file is empty until the browser replaces it by what was written: one that is still
// empty was not stored when the tab died.
const END = Uint8Array.of(10);

// Names are stored with every character in percent-encoding that some browser refuses or some disk confuses: WebKit keeps these
// files under their names on the user's disk, where upper and lower case are often the same. The suffix is that of files which
// Chromium writes beside the one that is stored.
const SPECIAL = /[^\p{Ll}\p{Lo}\p{Nd} ._()+,=@-]|^[. ]|[. ]$|\.(?=crswap$)/gu;
const hex = byte => '%' + byte.toString(16).padStart(2, '0');
const encode = name => name.replace(SPECIAL, found => Array.from(new TextEncoder().encode(found), hex).join(''));
const decode = stored => decodeURIComponent(stored);

// The names on the way to `path`, which begins with `/`.
const namesOf = path => {
  const names = path.split('/').slice(1);
  if (!path.startsWith('/') || !names.every(name => name && name !== '.' && name !== '..')) {
    throw new Error(`${JSON.stringify(path)} is not the path of a file to store`);
  }
  return names.map(encode);
};

const open = async () => {
  try {
    const top = await navigator.storage.getDirectory();
    return await top.getDirectoryHandle(FOLDER, { create: true });
  } catch (cause) {
    throw new Error(`this browser keeps no files for this page (a private window, perhaps): ${cause.message}`, { cause });
  }
};

/**
 * Everything stored, each folder before what is in it: an array of `[path, bytes]`, for a folder `[path, null]`. `tidy` removes files
 * that were not stored before the tab died; not while something is stored.
 */
export async function restore(tidy = true) {
  const all = [], files = [], unfinished = new Set();
  const walk = async (folder, above) => {
    const entries = [];
    for await (const entry of folder.values()) entries.push(entry);
    entries.sort((a, b) => (a.name < b.name ? -1 : 1));
    for (const entry of entries) {
      if (entry.name.endsWith('.crswap')) continue;
      const stored = [`${above}/${decode(entry.name)}`, null];
      all.push(stored);
      if (entry.kind === 'directory') await walk(entry, stored[0]);
      else files.push([stored, entry, folder]);
    }
  };
  await walk(await open(), '');
  const read = async () => {
    for (let next = files.pop(); next; next = files.pop()) {
      const [stored, handle, folder] = next;
      try {
        const bytes = new Uint8Array(await (await handle.getFile()).arrayBuffer());
        if (bytes.length) {
          stored[1] = bytes.subarray(0, -END.length);
          continue;
        }
        unfinished.add(stored);
        if (tidy) await folder.removeEntry(handle.name);
      } catch (cause) {
        throw new Error(`${stored[0]} cannot be read from the browser's storage: ${cause.message}`, { cause });
      }
    }
  };
  await Promise.all(Array.from({ length: 16 }, read));
  return all.filter(stored => !unfinished.has(stored));
}

// Each makes a change as far as it does not show, and gives what makes it show or drops it.
const prepare = {
  async folder(folderOf, names) {
    return { show: () => folderOf(names) };
  },
  // The browser writes beside the file and replaces it when all is written, so a file is whole at any moment.
  async written(folderOf, names, bytes) {
    const file = await (await folderOf(names.slice(0, -1))).getFileHandle(names.at(-1), { create: true });
    const writable = await file.createWritable();
    try {
      await writable.write(new Blob([bytes, END]));
    } catch (cause) {
      await writable.abort().catch(() => {});
      throw cause;
    }
    return { show: () => writable.close(), drop: () => writable.abort() };
  },
  async removed(folderOf, names) {
    const show = async () => {
      try {
        await (await folderOf(names.slice(0, -1), false)).removeEntry(names.at(-1), { recursive: true });
      } catch (cause) {
        if (cause.name !== 'NotFoundError') throw cause;
      }
      folderOf.forget();
    };
    return { show };
  },
};

// Handles of folders, kept as long as no folder is removed.
const handles = root => {
  let known = new Map();
  const folderOf = async (names, create = true) => {
    if (!names.length) return root;
    const path = names.join('/');
    if (!known.has(path)) {
      const above = await folderOf(names.slice(0, -1), create);
      known.set(path, await above.getDirectoryHandle(names.at(-1), { create }));
    }
    return known.get(path);
  };
  folderOf.forget = () => (known = new Map());
  return folderOf;
};

// How many of the changes, from the first on, can be prepared together: files in a row.
const batch = changes => {
  let count = 0, size = 0;
  for (const [kind, , bytes] of changes) {
    if (count && (kind !== 'written' || count === 16 || size + bytes.length > 16e6)) break;
    count += 1;
    if (kind !== 'written') break;
    size += bytes.length;
  }
  return count;
};

const work = async changes => {
  if (!changes.length) return;
  const folderOf = handles(await open());
  for (let next = 0; next < changes.length;) {
    const together = changes.slice(next, next + batch(changes.slice(next, next + 16)));
    const ready = together.map(async ([kind, path, bytes]) => prepare[kind](folderOf, namesOf(path), bytes));
    for (const change of ready) change.catch(() => {});
    for (const [i, [, path]] of together.entries()) {
      try {
        await (await ready[i]).show();
      } catch (cause) {
        // Those behind it are not shown before it.
        await Promise.allSettled(ready.slice(i + 1).map(async behind => (await behind).drop?.()));
        const full = cause.name === 'QuotaExceededError' ? 'the browser gives this page no more storage' : cause.message;
        throw new Error(`${path} cannot be stored: ${full}`, { cause });
      }
    }
    next += together.length;
  }
};

// Calls that wait or are at work, each behind the one before; whether the last one failed.
let calls = Promise.resolve(), waiting = 0, failed = false;

/**
 * Stores changes: an array of `['folder' | 'removed', path]` and `['written', path, bytes]`, in the order given, after those of
 * earlier calls. After a failure some of them are stored, in order; the whole call can be repeated. Calls that wait behind one that
 * fails fail too.
 */
export function store(changes) {
  for (const [kind, path, bytes] of changes) {
    if (!(kind in prepare) || (kind === 'written') !== bytes instanceof Uint8Array) {
      return Promise.reject(new Error(`${JSON.stringify(kind)} of ${path} is not a change to store`));
    }
  }
  waiting += 1;
  const end = fails => () => {
    failed = fails;
    waiting -= 1;
    if (!waiting) calls = Promise.resolve();
  };
  const call = calls.then(() => work(changes));
  calls = call;
  call.then(end(false), end(true));
  return call;
}

// Before a tab is closed over changes that are not stored, the browser asks.
globalThis.addEventListener?.('beforeunload', event => {
  if (waiting || failed) event.preventDefault();
});

/** Asks the browser to keep what is stored even if the disk gets full; whether it promises to. */
export async function persist() {
  return (await navigator.storage?.persist?.()) ?? false;
}

/** Bytes that this page stores and may store, estimated: `{usage, quota}`. */
export async function quota() {
  const { usage = 0, quota = 0 } = (await navigator.storage?.estimate?.()) ?? {};
  return { usage, quota };
}

/** Whether this tab is the only one with the application, from now until it is closed. Later calls answer the same. */
export function alone() {
  // This file may be loaded twice, by the page and by the module.
  globalThis.unetAlone ??= new Promise((resolve, reject) => {
    const { locks } = navigator;
    if (!locks) throw new Error('this browser cannot tell whether the application is open in another tab');
    const held = () => {
      resolve(true);
      return new Promise(() => {});
    };
    // A tab that was just reloaded or closed gives its lock back a little later.
    locks.request(FOLDER, { signal: AbortSignal.timeout(1000) }, held)
      .catch(e => (e.name === 'TimeoutError' || e.name === 'AbortError' ? resolve(false) : reject(e)));
  });
  return globalThis.unetAlone;
}

/** Calls back without arguments whenever the tab is hidden or left: the last time for sure that the page runs. */
export function onHide(callback) {
  document.addEventListener('visibilitychange', () => document.visibilityState === 'hidden' && callback());
  addEventListener('pagehide', () => callback());
}

// ---- Files from and to the user ----

/**
 * Lets the user choose files, or all files of a folder: an array of `[path, File]`, empty if there was no choice. `accept` as in
 * HTML: `.png,.tif`. To be called soon after a click or a key, or the browser refuses.
 */
export function openFiles(accept, multiple, folder) {
  return new Promise(resolve => {
    const input = document.createElement('input');
    Object.assign(input, { type: 'file', accept, multiple, webkitdirectory: folder, hidden: true });
    const end = () => {
      input.remove();
      resolve(Array.from(input.files, file => [file.webkitRelativePath || file.name, file]));
    };
    input.addEventListener('change', end);
    input.addEventListener('cancel', end);
    // In the document, where tests and assistive programs find it.
    document.body.append(input);
    input.click();
  });
}

/** The bytes of a file that the user chose or dropped. */
export async function readFile(file) {
  try {
    return new Uint8Array(await file.arrayBuffer());
  } catch (cause) {
    throw new Error(`${file.name} cannot be read: ${cause.message}`, { cause });
  }
}

const filesOf = async (entry, all) => {
  if (entry.isFile) {
    all.push([entry.fullPath.slice(1), await new Promise((resolve, reject) => entry.file(resolve, reject))]);
    return;
  }
  const reader = entry.createReader();
  const some = () => new Promise((resolve, reject) => reader.readEntries(resolve, reject));
  const entries = [];
  // A browser may give a hundred at a time.
  for (let next = await some(); next.length; next = await some()) entries.push(...next);
  entries.sort((a, b) => (a.name < b.name ? -1 : 1));
  for (const inner of entries) await filesOf(inner, all);
};

/** Calls back with an array of `[path, File]` when files or folders are dropped on the page, or with an Error. */
export function onDrop(callback) {
  // Before the canvas sees it, which would take a folder for a file.
  addEventListener('drop', async event => {
    event.preventDefault();
    event.stopPropagation();
    // The canvas would wait for the end of the drag, and draw without end.
    event.target.dispatchEvent(new DragEvent('dragleave'));
    // The items are gone after the first `await`.
    const entries = Array.from(event.dataTransfer.items, item => item.webkitGetAsEntry()).filter(Boolean);
    const files = Array.from(event.dataTransfer.files, file => [file.name, file]);
    try {
      const all = [];
      for (const entry of entries) await filesOf(entry, all);
      callback(entries.length ? all : files);
    } catch (cause) {
      callback(new Error(`what was dropped cannot be read: ${cause.message}`, { cause }));
    }
  }, { capture: true });
  addEventListener('dragover', event => event.preventDefault());
}

const save = (name, blob) => {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.hidden = true;
  document.body.append(link);
  link.click();
  link.remove();
  // The browser reads it a little later.
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
};

/** Gives the user bytes as a file of that name. */
export function download(name, bytes) {
  save(name, new Blob([bytes], { type: 'application/octet-stream' }));
}

/** Gives the user several files as one ZIP: an array of `[path, bytes]`, for a folder `[path, null]`. */
export function downloadAll(name, files) {
  save(name, zip(files));
}

// ---- ZIP, without compression ----
const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n;
});
const crc32 = bytes => {
  let crc = ~0;
  for (let i = 0; i < bytes.length; i++) crc = TABLE[(crc ^ bytes[i]) & 255] ^ (crc >>> 8);
  return ~crc >>> 0;
};

// Little-endian numbers, each with its count of bytes.
const record = (...fields) => {
  const bytes = new Uint8Array(fields.reduce((length, [, size]) => length + size, 0));
  let at = 0;
  for (const [value, size] of fields) for (let i = 0; i < size; i++) bytes[at++] = (value / 2 ** (8 * i)) & 255;
  return bytes;
};

const zip = files => {
  const now = new Date();
  const time = (now.getHours() << 11) | (now.getMinutes() << 5) | (now.getSeconds() >> 1);
  const date = ((now.getFullYear() - 1980) << 9) | ((now.getMonth() + 1) << 5) | now.getDate();
  const parts = [], directory = [];
  let offset = 0, directorySize = 0;
  for (const [path, bytes] of files) {
    const name = new TextEncoder().encode(path.replace(/^\//, '') + (bytes ? '' : '/'));
    const body = bytes ?? new Uint8Array();
    // Version 2.0, names in UTF-8 (bit 11), stored.
    const common = [[20, 2], [1 << 11, 2], [0, 2], [time, 2], [date, 2], [crc32(body), 4], [body.length, 4], [body.length, 4],
      [name.length, 2], [0, 2]];
    const local = record([0x04034b50, 4], ...common);
    // Folders have the attribute of MS-DOS.
    const entry = record([0x02014b50, 4], [20, 2], ...common, [0, 2], [0, 2], [0, 2], [bytes ? 0 : 16, 4], [offset, 4]);
    parts.push(local, name, body);
    directory.push(entry, name);
    offset += local.length + name.length + body.length;
    directorySize += entry.length + name.length;
  }
  if (files.length > 0xffff - 1 || offset + directorySize > 0xffffffff - 1) {
    throw new Error('too much for one ZIP file: at most 65,534 files and 4 GiB');
  }
  const end = record([0x06054b50, 4], [0, 2], [0, 2], [files.length, 2], [files.length, 2], [directorySize, 4], [offset, 4],
    [0, 2]);
  return new Blob([...parts, ...directory, end], { type: 'application/zip' });
};

// ---- Models ----

/** The bytes of a built-in model, from this site or from what was kept of it. Also for the worker, whose file is in a folder. */
export async function fetchModel(name) {
  const url = new URL(`models/${encodeURIComponent(name)}.safetensors`, globalThis.document?.baseURI ?? new URL('..', location));
  const failed = why => new Error(`the model ${JSON.stringify(name)} cannot be downloaded: ${why}`);
  let bytes;
  try {
    const answer = await fetch(url);
    if (!answer.ok) throw new Error(`the server answers ${answer.status} ${answer.statusText}`.trim());
    if (answer.headers.get('content-type')?.startsWith('text/html')) throw new Error('the server answers with a page');
    bytes = new Uint8Array(await answer.arrayBuffer());
  } catch (cause) {
    throw failed(cause instanceof TypeError ? `no connection (${cause.message})` : cause.message);
  }
  // The page asks for it again if there is no service worker yet that keeps it.
  const channel = new BroadcastChannel('unet-studio models');
  channel.postMessage(url.href);
  channel.close();
  return bytes;
}

/** Ends after some milliseconds. */
export const sleep = milliseconds => new Promise(resolve => setTimeout(resolve, milliseconds));
