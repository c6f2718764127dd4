// Players that other people's pages use, each in a page of its own, with nothing but the address of a video. Prints a line of JSON for each:
// how far it came, what it asked for, what went wrong.
//
// PLAYBACK_URLS  {"hls.js": …, "shaka": …, "video.js": …}, an address each    CHROMIUM  its path (default /usr/bin/chromium)
// PATIENCE_MS    how long a player may take (default 120000)
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { chromium } from 'playwright-core';

const { resolve } = createRequire(import.meta.url);
const addresses = JSON.parse(process.env.PLAYBACK_URLS ?? '{}');
const patienceMs = Number(process.env.PATIENCE_MS ?? 120_000);
/** Faster than life, slow enough for every segment to be decoded. */
const RATE = 4;

/** Where each player's script is, and how a page starts it; `fail` is told of what it gives up on: a stall of a busy machine is none. */
const PLAYERS = {
  'hls.js': {
    script: resolve('hls.js'),
    start(video, url, fail) {
      const player = new window.Hls();
      player.on(window.Hls.Events.ERROR, (_, data) => data.fatal && fail(`${data.type} ${data.details}`));
      player.loadSource(url);
      player.attachMedia(video);
    },
  },
  shaka: {
    script: resolve('shaka-player/dist/shaka-player.compiled.js'),
    async start(video, url, fail) {
      window.shaka.polyfill.installAll();
      const player = new window.shaka.Player();
      player.addEventListener('error', ({ detail }) => fail(`${detail.category} ${detail.code}`));
      await player.attach(video);
      await player.load(url).catch((error) => fail(`${error.category} ${error.code}`));
    },
  },
  'video.js': {
    script: resolve('video.js/dist/video.js'),
    start(video, url, fail) {
      const player = window.videojs(video);
      player.on('error', () => fail(player.error()?.message ?? 'unknown'));
      player.src({ src: url, type: 'application/vnd.apple.mpegurl' });
    },
  },
};

/** Plays one address to its end. */
async function play(browser, name) {
  const { script, start } = PLAYERS[name];
  const url = new URL(addresses[name]);
  const context = await browser.newContext();
  const page = await context.newPage();
  const requests = [];
  const problems = [];
  page.on('request', (request) => requests.push(new URL(request.url()).pathname));
  page.on('response', (answer) => {
    if (answer.status() >= 400) problems.push(`${answer.status()} ${answer.url()}`);
  });
  page.on('pageerror', (error) => problems.push(String(error)));
  // A page of the server's own origin, which the server knows nothing of: the browser's rules between sites are another matter.
  await context.route(`${url.origin}/player/**`, (route) =>
    route.request().url().endsWith('.js')
      ? route.fulfill({ contentType: 'text/javascript', body: readFileSync(script) })
      : route.fulfill({ contentType: 'text/html', body: '<link rel="icon" href="data:,"><video muted preload="auto"></video><script src="player.js"></script>' }),
  );
  await page.exposeFunction('fail', (text) => problems.push(text));
  await page.goto(`${url.origin}/player/page.html`);
  await page.evaluate((rate) => {
    const video = document.querySelector('video');
    video.addEventListener('ended', () => { window.hasEnded = true; });
    video.addEventListener('error', () => window.fail(`media error ${video.error?.code}`));
    // Not sooner: a load interrupts what was begun before it, and a player sets its own rate when it loads.
    video.addEventListener('canplay', () => video.play().catch((error) => window.fail(String(error))), { once: true });
    video.addEventListener('playing', () => { video.playbackRate = rate; });
  }, RATE);
  await page.evaluate(`(${object(start)})(document.querySelector('video'), ${JSON.stringify(url.href)}, window.fail)`);
  await page.waitForFunction(() => window.hasEnded, undefined, { timeout: patienceMs }).catch((error) => problems.push(String(error)));
  const { ended, time, frames } = await page.locator('video').evaluate((video) => ({
    ended: window.hasEnded === true && video.ended, time: video.currentTime, frames: video.getVideoPlaybackQuality().totalVideoFrames,
  }));
  const cookies = (await context.cookies()).length;
  await context.close();
  return { player: name, ended, time, frames, cookies, problems, requests };
}

/** A method's text as a function's. */
function object(method) {
  const text = method.toString();
  return text.startsWith('async ') ? `async function ${text.slice(6)}` : `function ${text}`;
}

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--autoplay-policy=no-user-gesture-required'],
});
try {
  await Promise.all(Object.keys(addresses).map(async (name) => console.log(JSON.stringify(await play(browser, name)))));
} finally {
  await browser.close();
}
