// Collections on the page: shown, a filter that the address keeps, and named when uploading.
import { ask, check, gallery, settings, signIn, watchedPage, whenState } from './harness.mjs';

/** As faculties name theirs: longer than a card is wide. */
const NAME = 'Anatomy and Embryology/Winter 2026/The heart & its vessels, practical course';
const ADDRESS = `${settings.url}/?collection=${encodeURIComponent(NAME).replaceAll('%2F', '/')}`;

const put = (video, collection) => ask('PATCH', `/v1/videos/${video}`, { collection });
const chosen = (page) => page.getByRole('combobox', { name: 'Collection' });
const into = (page) => page.getByLabel('Upload into');
const cards = (page) => page.locator('[data-video]');

export async function collections(browser, video) {
  const watched = await watchedPage(browser);
  const { page } = watched;
  await page.goto(settings.url);
  await signIn(page);
  await filters(page, video);
  await names(watched);
  await uploadsInto(page, video);
  await leadsFromTheVideo(page, video);
  await put(video, null);
  watched.checkClean('collections');
  await watched.context.close();
}

async function filters(page, video) {
  const card = page.locator(`[data-video="${video}"]`);
  await card.waitFor();
  await put(video, NAME);
  const link = card.getByRole('link', { name: NAME });
  await link.waitFor();
  check('a card shows its collection, live', true);
  await link.click();
  await page.waitForURL(ADDRESS);
  await card.waitFor();
  check('it leads to the collection', (await chosen(page).inputValue()) === NAME && (await cards(page).count()) === 1);
  await page.reload();
  await card.waitFor();
  check('a reload stays in the collection', (await chosen(page).inputValue()) === NAME && (await page.title()).startsWith(NAME));
  await gallery(page, 'library-collection');
  await put(video, null);
  await card.waitFor({ state: 'detached' });
  await page.getByText('There is no video in').waitFor();
  check('what is taken out of the collection leaves the list', true);
  await gallery(page, 'library-collection-empty');
  await put(video, NAME);
  await card.waitFor();
  check('and what is put in comes', true);
  await chosen(page).selectOption('');
  await page.waitForURL(`${settings.url}/`);
  await page.goBack();
  await page.waitForURL(ADDRESS);
  await card.waitFor();
  check('the browser’s Back brings the collection back', (await chosen(page).inputValue()) === NAME);
}

/** What is no name is said before anything is sent, in the server's words. */
async function names({ page, allowing }) {
  check('uploads go into the collection that is shown', (await into(page).inputValue()) === NAME, await into(page).inputValue());
  const known = await into(page).evaluate((input) => Array.from(input.list.options, ({ value }) => value));
  check('the field knows the collections', known.includes(NAME), known.join(' | '));
  await allowing(/400/, async () => {
    await into(page).fill('Anatomy//2026');
    await into(page).blur();
    await page.getByRole('alert').waitFor();
  });
  check('what is no name of a collection is refused in words', /a name of 1 to 200 characters/.test(await page.getByRole('alert').innerText()));
  check('and its field is marked', (await into(page).getAttribute('aria-invalid')) === 'true');
  await gallery(page, 'library-collection-refused');
  await page.getByRole('button', { name: 'Upload', exact: true }).click();
  check('nothing can be chosen until it is right', await into(page).evaluate((input) => input === document.activeElement));
}

async function uploadsInto(page, video) {
  await into(page).fill(' Physiology / 2026');
  const finished = page.waitForResponse((answer) => /\/finish$/.test(answer.url()) && answer.ok());
  await page.getByLabel('Choose videos to upload').setInputFiles({ name: 'no film.mp4', mimeType: 'video/mp4', buffer: Buffer.from('This is no film. '.repeat(100)) });
  const other = (await (await finished).json()).video;
  const { collection } = await ask('GET', `/v1/videos/${other}`);
  check('an upload goes into the collection that was named', collection === 'Physiology/2026', collection);
  await page.waitForFunction(() => Array.from(document.querySelectorAll('select option'), ({ value }) => value).includes('Physiology/2026'));
  check('a new collection is offered, its videos are not among those of another', (await cards(page).count()) === 1 && (await cards(page).getAttribute('data-video')) === video);
  await chosen(page).selectOption('Physiology/2026');
  const card = page.locator(`[data-video="${other}"]`);
  await card.waitFor();
  check('and chosen, it shows them', (await cards(page).count()) === 1);
  await page.locator(`[data-video="${other}"][data-state="refused"]`).waitFor({ timeout: settings.patienceMs });
  await ask('DELETE', `/v1/videos/${other}`);
  await card.waitFor({ state: 'detached' });
  await page.getByRole('link', { name: 'Show all videos' }).click();
  await page.locator(`[data-video="${video}"]`).waitFor();
  await page.waitForFunction(() => !Array.from(document.querySelectorAll('select option'), ({ value }) => value).includes('Physiology/2026'));
  check('a collection without videos is not offered any more', true);
}

async function leadsFromTheVideo(page, video) {
  await page.goto(`${settings.url}/watch/${video}`);
  await whenState(page, 'playing', 'paused');
  await page.getByRole('link', { name: NAME }).waitFor();
  await gallery(page, 'watch-collection');
  await page.getByRole('link', { name: NAME }).click();
  await page.waitForURL(ADDRESS);
  await page.locator(`[data-video="${video}"]`).waitFor();
  check('the video’s page leads to its collection', true);
}
