// Replacing and trimming: the watch page shows how the new version comes along, and then shows it.
import { check, gallery, media, settings, signIn, watchedPage, whenMedia, whenState } from './harness.mjs';

/** What the API says of a video. */
async function shown(video) {
  const answer = await fetch(`${settings.url}/v1/videos/${video}`, { headers: { authorization: `Bearer ${settings.token}` } });
  return answer.json();
}

/** Waits until what the API says fulfils `condition`; returns it. */
async function whenShown(page, video, condition) {
  const end = Date.now() + settings.patienceMs;
  for (;;) {
    const now = await shown(video);
    if (condition(now)) return now;
    if (Date.now() > end) throw new Error(`the video never fulfilled ${condition}: ${JSON.stringify(now)}`);
    await page.waitForTimeout(100);
  }
}

export async function replacing(browser, video) {
  const watched = await watchedPage(browser);
  const { page } = watched;
  await page.goto(`${settings.url}/watch/${video}`);
  await signIn(page);
  await whenState(page, 'playing', 'paused');
  await trims(page, video);
  await replaces(page, video);
  watched.checkClean('replacing');
  await watched.context.close();
}

async function trims(page, video) {
  const { duration_ms: whole } = await shown(video);
  // Stopped where it will have no picture any more.
  if (!(await media(page)).paused) await page.keyboard.press('k');
  await page.keyboard.press('6');
  await whenMedia(page, ({ time, seeking }) => time > 5 && !seeking);
  await page.getByRole('button', { name: 'Trim…' }).click();
  const form = page.locator('[data-trim]');
  await form.waitFor();
  const [from, to] = [page.locator('[data-point="in"]'), page.locator('[data-point="out"]')];
  check('the keyboard is in the panel', await page.evaluate(() => document.activeElement?.closest('[data-trim]') !== null));
  await page.getByRole('slider', { name: 'Start' }).press('ArrowRight');
  check('the handle moves by keyboard', (await from.inputValue()) === '0:00.04', await from.inputValue());
  await from.fill('1:00:00');
  check('a point beyond the source is named', /source is/.test(await form.locator('#trim-result').innerText()));
  await from.fill('0:01');
  await to.fill('0:04.5');
  await gallery(page, 'watch-trim');
  await form.getByRole('button', { name: 'Trim', exact: true }).click();
  await form.waitFor({ state: 'detached' });
  const trimmed = await whenShown(page, video, (now) => now.replacement === null && now.trim.in_ms === 1000);
  check('three and a half seconds are left', trimmed.duration_ms === 3500, `${trimmed.duration_ms} of ${whole} ms`);
  await page.reload();
  await whenState(page, 'playing', 'paused');
  const { duration } = await page.waitForFunction(() => {
    const { duration } = document.querySelector('video');
    return Number.isFinite(duration) && duration > 0 ? { duration } : null;
  }).then((handle) => handle.jsonValue());
  const { time } = await whenMedia(page, ({ loaded }) => loaded);
  check('and begins anew when one stopped beyond its end', time < 3.5, `${time} s`);
  check('the player shows the trimmed version', Math.abs(duration - 3.5) < 0.1, `${duration} s`);
}

async function replaces(page, video) {
  await page.getByLabel('Choose the file that replaces this video').setInputFiles(settings.sample);
  await page.locator('[data-replacement]').or(page.locator('[data-upload]')).first().waitFor();
  await gallery(page, 'watch-replacing');
  const replaced = await whenShown(page, video, (now) => now.replacement === null && now.trim.in_ms === 0);
  check('the replaced video keeps its id and its state', replaced.state === 'ready' && replaced.video === video);
  await page.goto(settings.url);
  const card = page.locator(`[data-video="${video}"]`);
  await card.hover();
  await card.getByRole('button', { name: /^More for/ }).click();
  const first = await page.evaluate(() => document.activeElement?.textContent?.trim());
  check('the card’s menu opens with its first action', first === 'Replace video…', first);
  await gallery(page, 'library-menu');
  await cardMenu(page, card);
  await trimFromCard(page, card, video);
}

/** A menu button as WAI-ARIA describes it. */
async function cardMenu(page, card) {
  const at = () => page.evaluate(() => document.activeElement?.textContent?.trim());
  const press = async (key) => {
    await page.keyboard.press(key);
    return at();
  };
  const walk = [await press('End'), await press('ArrowDown'), await press('ArrowUp'), await press('Home')];
  check('arrows, Home and End move in it', walk.join() === 'Embed…,Replace video…,Embed…,Replace video…', walk.join());
  await page.keyboard.press('Escape');
  const returned = await page.evaluate(() => document.activeElement?.getAttribute('aria-label') ?? '');
  check('Escape closes it and returns to its button', (await card.getByRole('menu').count()) === 0 && /^More for/.test(returned), returned);
  await page.keyboard.press('ArrowDown');
  await card.getByRole('menu').waitFor();
  await page.getByRole('heading', { name: 'Library' }).click();
  check('an arrow opens it, a click elsewhere closes it', (await card.getByRole('menu').count()) === 0);
}

async function trimFromCard(page, card, video) {
  await card.hover();
  await card.getByRole('button', { name: /^More for/ }).click();
  await card.getByRole('menuitem', { name: 'Trim…' }).click();
  await page.waitForURL(`${settings.url}/watch/${video}?trim`);
  const form = page.locator('[data-trim]');
  await form.waitFor();
  check('“Trim…” of a card opens the trim panel', await page.evaluate(() => document.activeElement?.closest('[data-trim]') !== null));
  await page.reload();
  await form.waitFor();
  check('a reload leaves it open', true);
  await form.getByRole('button', { name: 'Close' }).click();
  await form.waitFor({ state: 'detached' });
  check('closed, it is gone from the address', page.url() === `${settings.url}/watch/${video}`, page.url());
}
