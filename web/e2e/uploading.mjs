// Uploading on the page: progress, pause, resume; then what breaks: the connection, the page, the file.
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { check, gallery, network, settings, signIn, until, watchedPage } from './harness.mjs';

const chooser = (page) => page.getByLabel('Choose videos to upload');
const row = (page, file) => page.locator(`[data-upload="${basename(file)}"]`);
const card = (page, video) => page.locator(`[data-video="${video}"]`);

async function openLibrary(page) {
  await page.goto(settings.url);
  await signIn(page);
  await page.getByRole('heading', { name: 'Library' }).waitFor();
  await page.locator('[data-video]').or(page.getByRole('heading', { name: /empty|Nothing to watch/ })).first().waitFor();
}

/** Notes the percentages a locator shows, from now on. */
async function notePercents(page, selector) {
  await page.evaluate((wanted) => {
    const seen = [];
    window.percentsSeen = seen;
    const look = () => {
      const value = document.querySelector(wanted)?.getAttribute('data-percent');
      if (value !== null && value !== undefined && seen.at(-1) !== Number(value)) seen.push(Number(value));
    };
    new MutationObserver(look).observe(document.body, { subtree: true, childList: true, attributes: true, attributeFilter: ['data-percent'] });
    look();
  }, selector);
  return () => page.evaluate(() => window.percentsSeen);
}

const rises = (list) => list.every((value, at) => at === 0 || value >= list[at - 1]);

/** Opens the watch page while the video is being made; the function returned checks that it then starts by itself. */
async function openEarly({ context }, video) {
  const early = await context.newPage();
  await early.goto(`${settings.url}/watch/${video}`);
  await early.locator('[data-waiting]').or(early.locator('[data-player]')).first().waitFor();
  const waited = await early.locator('[data-waiting]').isVisible();
  if (waited) await gallery(early, 'watch-processing');
  return async () => {
    if (waited) {
      await early.locator('video').waitFor();
      check('the watch page turns into the player when the video is ready', true);
    } else console.log('     (ready before the watch page was open)');
    await early.close();
  };
}

/** As devices name their files: one word, wider than a phone. */
const LONG_NAME = 'Vorderkreuzbandplastik20261121T140312KameraLinks0000017Ungeschnitten.mp4';

/** Uploads the sample; returns its video id once the card says ready. */
export async function uploading(browser) {
  const folder = mkdtempSync(join(tmpdir(), 'theatrum-e2e-'));
  const file = join(folder, LONG_NAME);
  symlinkSync(settings.sample, file);
  try {
    return await uploadingFile(browser, file);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function uploadingFile(browser, file) {
  const watched = await watchedPage(browser);
  const { page } = watched;
  await openLibrary(page);
  if ((await page.locator('[data-video]').count()) === 0) await gallery(page, 'library-empty');

  await network(page, { uploadBytesPerSecond: 150_000 });
  const finished = page.waitForResponse((answer) => /\/v1\/uploads\/\w+\/finish$/.test(answer.url()) && answer.ok(), { timeout: settings.patienceMs });
  await chooser(page).setInputFiles(file);
  const item = row(page, file);
  await item.waitFor();
  const percents = await notePercents(page, '[data-upload]');
  await page.waitForFunction(() => Number(document.querySelector('[data-upload]')?.dataset.percent) >= 5);
  check('the upload tells rate and bytes', / of .*%/.test(await item.innerText()), await item.innerText());
  await gallery(page, 'uploading');
  const seen = await percents();
  check('its progress rises', seen.length >= 2 && rises(seen), seen.join(' '));

  await item.getByRole('button', { name: /^Pause/ }).click();
  check('it can be paused', (await item.getAttribute('data-state')) === 'paused');
  await network(page);
  await item.getByRole('button', { name: /^Resume/ }).click();
  const { video } = await (await finished).json();

  await card(page, video).waitFor();
  const processing = await notePercents(page, `[data-video="${video}"]`);
  await gallery(page, 'library-processing');
  const opened = await openEarly(watched, video);
  await page.locator(`[data-video="${video}"][data-state="ready"]`).waitFor({ timeout: settings.patienceMs });
  await opened();
  const live = await processing();
  check('processing is shown live, up to ready', live.length >= 2 && rises(live), live.join(' '));
  await page.locator(`[data-video="${video}"] img`).evaluate((img) => img.decode());
  check('the card shows a poster', await card(page, video).locator('img').evaluate((img) => img.naturalWidth > 0));
  await gallery(page, 'library');
  watched.checkClean('uploading');
  checkOrigins(watched);
  await watched.context.close();
  return { video };
}

export function checkOrigins({ origins }) {
  const { hostname } = new URL(settings.url);
  const foreign = [...origins].filter((origin) => origin !== settings.url && new URL(origin).hostname !== hostname);
  check('no request leaves the site', foreign.length === 0 && origins.size <= 2, [...origins].join(' '));
}

/** An upload of several parts outlasts a lost connection and a reload; what is no video is refused, and can be deleted. */
export async function uploadsSurvive(browser) {
  const folder = mkdtempSync(join(tmpdir(), 'theatrum-e2e-'));
  const file = join(folder, 'not a video.mp4');
  writeFileSync(file, randomBytes(Number(process.env.RESUME_BYTES ?? 72_000_000)));
  const watched = await watchedPage(browser);
  const { page } = watched;
  try {
    await openLibrary(page);
    const puts = [];
    page.on('response', (answer) => {
      if (answer.request().method() === 'PUT' && answer.ok()) puts.push(answer.url());
    });
    await network(page, { uploadBytesPerSecond: 8_000_000 });
    const begun = page.waitForResponse((answer) => /\/v1\/uploads$/.test(answer.url()));
    await chooser(page).setInputFiles(file);
    const { parts } = await (await begun).json();
    check('the file is sent in several parts', parts > 1, String(parts));
    await until(() => puts.length >= 1, () => 'no part was sent', 60_000);
    await breakConnection(watched, row(page, file));
    await reloadAndResume(watched, file, puts, parts);
    await refusedAndDeleted(page);
    watched.checkClean('uploads survive');
  } finally {
    rmSync(folder, { recursive: true, force: true });
    await watched.context.close();
  }
}

async function breakConnection(watched, item) {
  await watched.allowing(/ERR_INTERNET_DISCONNECTED|ERR_FAILED|ERR_NETWORK/, async () => {
    await network(watched.page, { offline: true });
    await item.getByText('The connection broke').waitFor();
    check('a broken connection is told', (await item.getAttribute('data-state')) === 'uploading');
    await network(watched.page, { uploadBytesPerSecond: 1_500_000 });
    await item.getByText('The connection broke').waitFor({ state: 'detached' });
  });
}

async function reloadAndResume(watched, file, puts, parts) {
  const { page } = watched;
  const asked = [];
  page.once('dialog', (dialog) => {
    asked.push(dialog.type());
    void dialog.accept();
  });
  await page.reload();
  check('leaving while uploading warns', asked[0] === 'beforeunload', asked.join());
  await network(page);
  const status = page.waitForResponse((answer) => /\/v1\/uploads\/\w+$/.test(answer.url()) && answer.request().method() === 'GET');
  const finished = page.waitForResponse((answer) => /\/finish$/.test(answer.url()) && answer.ok(), { timeout: settings.patienceMs });
  puts.length = 0;
  await chooser(page).setInputFiles(file);
  const { received } = await (await status).json();
  await finished;
  check('choosing the same file again sends only the missing parts', received.length >= 1 && puts.length === parts - received.length, `${puts.length} sent, ${received.length} of ${parts} were there`);
}

async function refusedAndDeleted(page) {
  const refused = page.locator('[data-state="refused"]', { hasText: 'not a video' }).first();
  await refused.waitFor({ timeout: settings.patienceMs });
  check('a refused file says why', (await refused.innerText()).length > 40, await refused.innerText());
  await gallery(page, 'library-refused');
  const id = await refused.getAttribute('data-video');
  await refused.getByRole('button', { name: /^Delete/ }).click();
  const dialog = page.getByRole('dialog');
  await dialog.waitFor();
  await gallery(page, 'delete');
  await dialog.getByRole('button', { name: 'Delete' }).click();
  await page.locator(`[data-video="${id}"]`).waitFor({ state: 'detached' });
  check('a video can be deleted', true);
}
