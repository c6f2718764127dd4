// Watching: it plays, qualities switch, keys work, it resumes; and when the session ends it gets another.
import { check, gallery, media, player, settings, signIn, watchedPage, whenMedia, whenState } from './harness.mjs';
import { checkOrigins } from './uploading.mjs';

export async function watching(browser, video) {
  const watched = await watchedPage(browser);
  const { page } = watched;
  await page.goto(`${settings.url}/watch/${video}`);
  await signIn(page);
  await page.waitForURL(new RegExp(`/watch/${video}$`));
  check('signing in leads back to where one was going', true);
  await whenState(page, 'playing', 'paused');
  if ((await media(page)).paused) await page.keyboard.press('k');
  await playsTenSeconds(page);
  await comesPacked(page);
  await qualities(page);
  await keys(page);
  await menus(page);
  await page.keyboard.press('4');
  await gallery(page, 'watch');
  await downloads(page);
  await resumes(page);
  watched.checkClean('watching');
  checkOrigins(watched);
  await watched.context.close();
}

async function playsTenSeconds(page) {
  await whenState(page, 'playing');
  const before = await media(page);
  const until = Math.min(10, before.duration - 0.3);
  const after = await whenMedia(page, (now) => now.time >= until || now.ended, 40_000);
  check('it plays ten seconds', after.ended || after.time >= until, JSON.stringify(after));
  check('pictures were shown', after.frames > 10, `${after.frames} frames`);
}

/** Scripts, styles and playlists travel as gzip. */
async function comesPacked(page) {
  const plain = await page.evaluate(() => performance.getEntriesByType('resource')
    .filter(({ name, encodedBodySize, decodedBodySize }) => /\.(js|css|m3u8)$/.test(name) && decodedBodySize > 0 && encodedBodySize >= decodedBodySize)
    .map(({ name }) => new URL(name).pathname.split('/').at(-1)));
  check('scripts, styles and playlists come packed', plain.length === 0, plain.join());
}

async function chooseQuality(page, name) {
  await page.locator('[data-menu="quality"]').click();
  await page.locator(`[role=menuitemradio][data-value="${name}"]`).click();
}

async function qualities(page) {
  await page.locator('[data-menu="quality"]').click();
  const names = (await page.locator('[role=menuitemradio]').evaluateAll((all) => all.map((one) => one.dataset.value))).filter((name) => name !== 'auto');
  await page.keyboard.press('Escape');
  check('there are several qualities', names.length >= 2, names.join());
  for (const name of [names.at(-1), names[0]]) {
    await page.keyboard.press('0');
    if ((await media(page)).paused) await page.keyboard.press('k');
    await chooseQuality(page, name);
    const side = Number.parseInt(name);
    await whenMedia(page, (now) => Math.abs(now.side - side) <= 2);
    await page.waitForFunction((level) => document.querySelector('[data-player]')?.dataset.level === level, name);
    check(`the quality switches to ${name}`, (await player(page).getAttribute('data-quality')) === name);
  }
  await chooseQuality(page, 'auto');
  check('and back to automatic', (await player(page).getAttribute('data-quality')) === 'auto');
}

async function keys(page) {
  const press = (key) => page.keyboard.press(key);
  if (!(await media(page)).paused) await press('k');
  await whenState(page, 'paused', 'ended');
  check('k pauses', (await media(page)).paused);
  const { duration } = await media(page);
  const near = async (seconds) => whenMedia(page, ({ time }) => Math.abs(time - seconds) < 0.6, 5_000).then(() => true, () => false);
  await press('5');
  check('5 jumps to the middle', await near(duration / 2));
  await press('ArrowLeft');
  check('left goes back five seconds', await near(Math.max(0, duration / 2 - 5)));
  await press('0');
  await press('l');
  check('l goes forward ten seconds', await near(Math.min(duration, 10)));
  await press('j');
  check('j goes back ten seconds', await near(0));
  await press('>');
  check('> plays faster', (await media(page)).rate === 1.25);
  await press('<');
  check('< plays slower', (await media(page)).rate === 1);
  await press('m');
  check('m silences', (await media(page)).muted);
  await press('m');
  await press('f');
  const full = () => page.evaluate(() => document.fullscreenElement?.hasAttribute('data-player') ?? false);
  check('f fills the screen', await page.waitForFunction(() => document.fullscreenElement !== null).then(full));
  await press('f');
  check('f again leaves it', await page.waitForFunction(() => document.fullscreenElement === null).then(() => true));
  await press('?');
  const dialog = page.getByRole('dialog', { name: 'Keyboard shortcuts' });
  await dialog.waitFor();
  await gallery(page, 'watch-help');
  await press('Escape');
  // Closed is not enough: until the page has taken it away, its button has the focus and would eat the next key.
  await page.locator('dialog').waitFor({ state: 'detached' });
  check('? shows the help, Escape hides it', true);
  await press('Space');
  await whenState(page, 'playing');
  check('space plays', !(await media(page)).paused);
  await press('k');
}

async function menus(page) {
  await page.locator('[data-menu="speed"]').click();
  await page.locator('[role=menuitemradio][data-value="1.5"]').click();
  check('the speed menu sets the speed', (await media(page)).rate === 1.5);
  await page.locator('[data-menu="speed"]').click();
  await gallery(page, 'watch-menu');
  await page.locator('[role=menuitemradio][data-value="1"]').click();
  if (await page.evaluate(() => document.pictureInPictureEnabled)) {
    await page.locator('[data-control="picture"]').click();
    const inside = await page.waitForFunction(() => document.pictureInPictureElement !== null).then(() => true, () => false);
    check('picture in picture opens', inside);
    if (inside) await page.locator('[data-control="picture"]').click();
  }
}

/** A choice of the menu brings a file, and the page stays. */
async function downloads(page) {
  await page.locator('[data-downloads]').click();
  await gallery(page, 'watch-downloads');
  const coming = page.waitForEvent('download');
  await page.locator('[data-download]').first().click();
  const download = await coming;
  check('a rendition downloads as one file', download.suggestedFilename().endsWith('.mp4') && (await download.failure()) === null, download.suggestedFilename());
}

async function resumes(page) {
  const { duration } = await media(page);
  if (duration < 12) return console.log('     (too short to resume)');
  await page.keyboard.press('5');
  await whenMedia(page, (now) => Math.abs(now.time - duration / 2) < 0.6 && !now.seeking);
  await page.reload();
  await page.locator('video').waitFor();
  const { time } = await whenMedia(page, (now) => now.loaded && now.time > 0);
  check('a reload resumes where it stopped', Math.abs(time - duration / 2) < 3, `${time} instead of ${duration / 2}`);
  await page.getByText('Resumed at').waitFor();
  await page.getByRole('button', { name: 'Start over' }).click();
  await whenMedia(page, (now) => now.time < 3);
  check('and can start over', true);
}

/** The key endpoint says 401, then the cookie goes: the player renews its session, the page asks to sign in again. */
export async function sessionEnds(browser, video) {
  const watched = await watchedPage(browser);
  const { page, context } = watched;
  const tokens = [];
  page.on('response', async (answer) => {
    if (/\/playback$/.test(answer.url()) && answer.ok()) tokens.push((await answer.json()).playback_url.split('/t/')[1].split('/')[0]);
  });
  await page.goto(`${settings.url}/watch/${video}`);
  await signIn(page);
  await whenState(page, 'playing', 'paused');
  if ((await media(page)).paused) await page.keyboard.press('k');
  await whenMedia(page, (now) => now.time >= 2);
  const [first] = tokens;
  await watched.allowing(/40[13]/, async () => {
    let refused = 0;
    await page.route(`**/t/${first}/**`, (route) => {
      refused += 1;
      return route.fulfill({ status: 401, contentType: 'application/problem+json', body: '{"code":"session-ended","detail":"the session has ended"}' });
    });
    const before = (await media(page)).time;
    const other = await otherQuality(page);
    await chooseQuality(page, other);
    await page.waitForFunction((level) => document.querySelector('[data-player]')?.dataset.level === level, other);
    const after = await whenMedia(page, (now) => now.time > before + 1 && !now.paused);
    check('an ended playback session is renewed and goes on in place', refused > 0 && tokens.length === 2 && after.time < before + 15, JSON.stringify({ refused, tokens: tokens.length, before, after: after.time }));
    await context.clearCookies();
    await page.reload();
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    await signIn(page);
    await page.waitForURL(new RegExp(`/watch/${video}$`));
    await player(page).waitFor();
    check('without a session the page asks to sign in, then returns', true);
  });
  watched.checkClean('the session ends');
  await context.close();
}

async function otherQuality(page) {
  const now = await player(page).getAttribute('data-level');
  await page.locator('[data-menu="quality"]').click();
  const names = await page.locator('[role=menuitemradio]').evaluateAll((all) => all.map((one) => one.dataset.value));
  await page.keyboard.press('Escape');
  return names.find((name) => name !== 'auto' && name !== now);
}
