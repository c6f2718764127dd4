// Embedding: a site that was allowed shows the video in a frame, another one may not.
import { createServer } from 'node:http';
import { ask, check, gallery, settings, signIn, watchedPage } from './harness.mjs';

const port = Number(process.env.FRAME_PORT ?? 0);
/** The same little site under two names: they are two sites to a browser. The first is in the server's settings. */
const ALLOWED = `http://localhost:${port}`;
const OTHER = `http://127.0.0.1:${port}`;

/** A site whose every page holds what is in `html` now. */
function site(html) {
  const server = createServer((_, answer) => {
    answer.setHeader('content-type', 'text/html; charset=utf-8');
    answer.end(`<!doctype html><title>A course</title><link rel="icon" href="data:,"><h1>A course</h1>${html.now}`);
  });
  return new Promise((done) => server.listen(port, '127.0.0.1', () => done(server)));
}

export async function embedding(browser, video) {
  if (!port) return console.log('     (no FRAME_PORT: left out)');
  const html = { now: '' };
  const server = await site(html);
  try {
    await dialog(browser, video);
    await plays(browser, video, html);
    await isBlocked(browser, video, html);
  } finally {
    server.close();
  }
}

async function dialog(browser, video) {
  const watched = await watchedPage(browser);
  const { page } = watched;
  await page.goto(`${settings.url}/watch/${video}`);
  await signIn(page);
  await page.getByRole('button', { name: 'Embed…' }).click();
  const form = page.locator('[data-embedding]');
  const sites = form.getByLabel('Sites that may show this video');
  await sites.waitFor();
  await sites.fill('https://nobody.example');
  await watched.allowing(/400/, async () => {
    await form.getByRole('button', { name: 'Save' }).click();
    await form.getByRole('alert').waitFor();
  });
  check('a site that the operator does not permit is refused', /does not permit/.test(await form.getByRole('alert').innerText()));
  await sites.fill(ALLOWED);
  await form.getByRole('button', { name: 'Save' }).click();
  await form.getByLabel('HTML for such a site').waitFor();
  const snippet = await form.getByLabel('HTML for such a site').inputValue();
  check('the dialog gives the frame’s HTML', snippet.startsWith(`<iframe src="${settings.url}/embed/${video}"`), snippet);
  await gallery(page, 'watch-embed');
  await page.keyboard.press('Escape');
  watched.checkClean('the embed dialog');
  await watched.context.close();
}

async function plays(browser, video, html) {
  const { html: snippet } = await ask('PUT', `/v1/videos/${video}/embedding`, { origins: [ALLOWED], oembed: false });
  const { embed_url: url } = await ask('POST', `/v1/videos/${video}/embeds`, { subject: 'student 7', origin: ALLOWED, expires_in_s: 60 });
  const watched = await watchedPage(browser);
  const { page } = watched;
  html.now = `<iframe src="${url}" width="640" height="360" allow="fullscreen; autoplay"></iframe>`;
  await page.goto(ALLOWED);
  const frame = page.frameLocator('iframe');
  await frame.locator('[data-player]').waitFor();
  await frame.locator('video').evaluate((element) => {
    element.muted = true;
    return element.play();
  });
  const time = await frame.locator('video').evaluate(
    (element) => new Promise((done) => element.addEventListener('timeupdate', () => element.currentTime > 1 && done(element.currentTime))),
  );
  check('an allowed site plays the video in its frame', time > 1, `${time} s`);
  await page.screenshot({ path: `${settings.screenshots}/embed-playing.png` });
  await expires(watched, frame);
  const referrer = await frame.locator('body').evaluate(() => document.referrer);
  check('the frame knows no more than the site', !referrer.includes('#'), referrer);
  html.now = snippet;
  await page.goto(ALLOWED);
  await frame.locator('[data-invitation]').waitFor();
  check('without a link the frame invites to sign in', (await frame.getByRole('link').getAttribute('target')) === '_blank');
  await page.screenshot({ path: `${settings.screenshots}/embed-invitation.png` });
  watched.checkClean('a frame on an allowed site');
  await watched.context.close();
}

/** A frame that asks for a session, at first or after one was ended, by a link that has expired. */
async function expires({ page, allowing }, frame) {
  const detail = 'the token has expired; ask for a new one';
  await allowing(/401/, async () => {
    await page.route('**/embeds/playback', (route) =>
      route.fulfill({ status: 401, contentType: 'application/problem+json', body: JSON.stringify({ status: 401, code: 'token-expired', detail }) }),
    );
    await page.reload();
    const alert = frame.getByRole('alert');
    await alert.waitFor();
    const words = await alert.innerText();
    check('a frame whose link has expired says what to do', /has expired\. Reload the page/.test(words), words);
    await page.screenshot({ path: `${settings.screenshots}/embed-expired.png` });
    await page.unroute('**/embeds/playback');
  });
}

async function isBlocked(browser, video, html) {
  const { embed_url: url } = await ask('POST', `/v1/videos/${video}/embeds`, { subject: 'student 7', origin: ALLOWED, expires_in_s: 60 });
  const watched = await watchedPage(browser);
  const { page } = watched;
  for (const [what, src] of [
    ['a link for another site', url],
    ['a frame', `${settings.url}/embed/${video}`],
    ['the watch page', `${settings.url}/watch/${video}`],
  ]) {
    html.now = `<iframe src="${src}" width="640" height="360"></iframe>`;
    await watched.allowing(/frame-ancestors|X-Frame-Options|refused to connect|ERR_BLOCKED/i, async () => {
      const asked = page.waitForResponse((answer) => answer.url().startsWith(settings.url));
      await page.goto(OTHER);
      await asked;
      await page.waitForFunction(() => {
        // A document that was refused is one of another origin, with nothing in it that could be reached.
        const { contentDocument } = document.querySelector('iframe');
        return contentDocument === null;
      });
    });
    const inside = page.frames().find((frame) => frame !== page.mainFrame());
    const seen = await inside.locator('[data-player], [data-invitation], #app').count();
    check(`${what} is blocked on a site that was not allowed`, seen === 0, inside.url());
  }
  watched.checkClean('sites that were not allowed');
  await watched.context.close();
}
