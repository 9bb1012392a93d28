// Starts the application in the page: looks for what it needs, loads its module with progress, shows a failure.
import { alone, downloadAll, restore } from './browser.js';

const MODULE = 'unet_studio';
const get = id => document.getElementById(id);

// One of the states that index.html has sections for, or `running`, which is the canvas alone.
const show = state => {
  // After a failure nothing else is shown.
  if (document.documentElement.dataset.state === 'failed') return;
  document.documentElement.dataset.state = state;
  get('page').hidden = state === 'running';
  // The canvas has its size before the module asks for it.
  get('studio').hidden = !['starting', 'running'].includes(state);
  for (const section of document.querySelectorAll('section')) {
    section.hidden = section.dataset.for !== (state === 'starting' ? 'loading' : state);
  }
};

const fail = text => {
  const report = get('report');
  const first = document.documentElement.dataset.state !== 'failed';
  show('failed');
  // The first failure is the cause of those behind it.
  report.textContent += first ? text : `\n\nafterwards: ${text}`;
  if (first) get('failed-title').focus();
};
// For the module: shows that it stopped, and why.
globalThis.unetFailed = text => fail(String(text));

const text = error => (error instanceof Error ? error.stack?.includes(error.message) ? error.stack : `${error}\n${error.stack ?? ''}`
  : String(error));
addEventListener('error', event => {
  // A file of the page that is missing, or an error of a script of it. A browser tells of a layout that takes another frame by an
  // event without an error; scripts of extensions are none of ours.
  if (event.error && (!event.filename || event.filename.startsWith(location.origin))) fail(text(event.error));
});
addEventListener('unhandledrejection', event => fail(text(event.reason)));

const actions = {
  reload: () => location.reload(),
  async save() {
    try {
      const files = await restore(false);
      if (files.length) downloadAll('unet-studio.zip', files);
      get('outcome').textContent = files.length ? 'Saved as unet-studio.zip.' : 'Nothing is stored.';
    } catch (e) {
      get('outcome').textContent = e.message;
    }
  },
  async copy() {
    try {
      await navigator.clipboard.writeText(get('report').textContent);
      get('outcome').textContent = 'Copied.';
    } catch {
      get('outcome').textContent = 'The browser does not allow to copy: select the text below.';
    }
  },
};
for (const button of document.querySelectorAll('button')) button.addEventListener('click', actions[button.dataset.action]);

// Why the application cannot run here, if so.
const missing = async () => {
  if (!isSecureContext) return 'WebGPU is only there for pages by https and on localhost. Open this page by its https address.';
  if (!navigator.gpu) return 'It has no WebGPU, by which unet studio draws and computes on the GPU.';
  const adapter = await navigator.gpu.requestAdapter({ powerPreference: 'high-performance' }).catch(() => null);
  return adapter ? null : 'It has WebGPU, but no GPU for it: hardware acceleration may be switched off in its settings, or it does '
    + 'not trust the driver. In Chrome and Edge, the page chrome://gpu tells.';
};

const megabytes = bytes => `${(bytes / 1e6).toFixed(1)} MB`;

// The module's file, as an answer that is also the progress of its download.
const load = async url => {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`${url} cannot be loaded: the server answers ${answer.status} ${answer.statusText}`);
  // The server tells the size of what it compressed, scripts/web_site.py that of the file.
  const total = Number(document.documentElement.dataset.bytes ?? 0);
  let loaded = 0;
  const count = new TransformStream({
    transform(chunk, controller) {
      loaded += chunk.byteLength;
      if (total) Object.assign(get('progress'), { max: total, value: Math.min(loaded, total) });
      get('amount').textContent = total ? `${megabytes(loaded)} of ${megabytes(total)}` : megabytes(loaded);
      controller.enqueue(chunk);
    },
  });
  return new Response(answer.body.pipeThrough(count), { headers: { 'Content-Type': 'application/wasm' } });
};

// Keeps the page for use without a network. A new version takes over when this one has started: the next start is of the new one.
const keep = async () => {
  if (!navigator.serviceWorker) return;
  const registration = await navigator.serviceWorker.register('sw.js', { updateViaCache: 'none' });
  const take = worker => {
    if (worker?.state === 'installed') worker.postMessage('take over');
  };
  // One may be on its way since before the page has loaded.
  const follow = () => {
    const worker = registration.installing;
    worker?.addEventListener('statechange', () => take(worker));
  };
  registration.addEventListener('updatefound', follow);
  follow();
  take(registration.waiting);
};

// Models that the module fetches on a first visit are fetched again, from the browser's cache, when there is who keeps them.
new BroadcastChannel('unet-studio models').addEventListener('message', ({ data: url }) => {
  const worker = navigator.serviceWorker;
  const again = () => fetch(url).catch(() => {});
  if (worker && !worker.controller) worker.addEventListener('controllerchange', again, { once: true });
});

const start = async () => {
  const why = await missing();
  if (why) {
    get('missing').textContent = why;
    return show('unsupported');
  }
  if (!(await alone())) return show('elsewhere');
  const module = await import(`./${MODULE}.js`);
  await module.default({ module_or_path: await load(new URL(`${MODULE}_bg.wasm`, import.meta.url)) });
  get('step').textContent = 'Starting';
  get('progress').removeAttribute('value');
  show('starting');
  const demo = new URLSearchParams(location.search).has('demo');
  // For scripts: `unetStudio.status()`.
  globalThis.unetStudio = module;
  await module.start(get('studio'), new URL('worker.js', import.meta.url).href, demo);
  show('running');
  await keep().catch(e => console.warn(`this page will need a network the next time: ${e.message}`));
};
start().catch(e => fail(text(e)));
