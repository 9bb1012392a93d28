// Keeps the site for use without a network. Files of a version are kept together, so an old one never meets a new one.
// scripts/web_site.py fills in the next line; as it is here, nothing is kept.
const SITE = { version: '', files: {}, models: {} };

const CACHE = `unet-studio ${SITE.version}`, MODELS = 'unet-studio models';
// Some servers answer `index.html` with a redirection to the folder, which a page may not come from.
const url = name => new URL(name === 'index.html' ? '.' : name, registration.scope);
const digest = hash => ({ cache: 'no-cache', integrity: `sha256-${hash}` });
// A model of another version has another key.
const key = name => `${url(name)}?${encodeURIComponent(SITE.models[name])}`;

// Every file as the list has it, or the version is not installed: a server in the middle of an update has files of two.
const install = async () => {
  const cache = await caches.open(CACHE);
  await Promise.all(Object.entries(SITE.files).map(async ([name, hash]) => {
    const answer = await fetch(url(name), digest(hash));
    if (!answer.ok) throw new Error(`${name}: ${answer.status}`);
    await cache.put(url(name), answer);
  }));
};

const activate = async () => {
  for (const name of await caches.keys()) {
    if (name.startsWith('unet-studio ') && ![CACHE, MODELS].includes(name)) await caches.delete(name);
  }
  const models = await caches.open(MODELS), current = new Set(Object.keys(SITE.models).map(key));
  for (const request of await models.keys()) if (!current.has(request.url)) await models.delete(request);
  await clients.claim();
};

const file = async name => (await (await caches.open(CACHE)).match(url(name))) ?? fetch(url(name));

const model = async name => {
  const cache = await caches.open(MODELS);
  const kept = await cache.match(key(name));
  if (kept) return kept;
  const answer = await fetch(url(name), digest(SITE.models[name]));
  // The application gets its model also where the browser has no room to keep it.
  if (answer.ok) await cache.put(key(name), answer.clone()).catch(() => {});
  return answer;
};

addEventListener('install', event => event.waitUntil(install()));
addEventListener('activate', event => event.waitUntil(activate()));
// The page says when: it has loaded all of its own version.
addEventListener('message', event => event.data === 'take over' && skipWaiting());
addEventListener('fetch', event => {
  const { request } = event, at = new URL(request.url);
  if (request.method !== 'GET' || !at.href.startsWith(registration.scope)) return;
  const name = decodeURIComponent(at.pathname.slice(new URL(registration.scope).pathname.length)) || 'index.html';
  if (name in SITE.files) event.respondWith(file(name));
  else if (name in SITE.models) event.respondWith(model(name));
});
