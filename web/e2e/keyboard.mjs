// The whole page by keyboard alone: every control is reached by Tab, shows its focus, and works.
import { check, media, settings, watchedPage, whenState } from './harness.mjs';

/** What has the focus: its name, and whether one can see it. */
const focused = (page) =>
  page.evaluate(() => {
    const at = document.activeElement;
    if (!at || at === document.body) return null;
    const visible = (element) => {
      const style = getComputedStyle(element);
      return style.outlineStyle !== 'none' && Number.parseFloat(style.outlineWidth) >= 2;
    };
    const { width, height } = at.getBoundingClientRect();
    const name = at.getAttribute('aria-label') ?? at.textContent?.trim() ?? at.id;
    return { name: name || at.id || at.tagName, seen: (visible(at) || [...document.querySelectorAll('article:focus-within')].some(visible)) && width > 0 && height > 0 };
  });

/** Presses Tab until the focus leaves the page or `limit` is reached; returns what it met. */
async function tabThrough(page, limit = 60) {
  const met = [];
  for (let count = 0; count < limit; count++) {
    await page.keyboard.press('Tab');
    const now = await focused(page);
    if (now === null || (met.length > 0 && now.name === met[0].name)) break;
    met.push(now);
  }
  return met;
}

async function tabTo(page, pattern, limit = 60) {
  for (let count = 0; count < limit; count++) {
    await page.keyboard.press('Tab');
    if (pattern.test((await focused(page))?.name ?? '')) return true;
  }
  return false;
}

function checkReached(place, met, wanted) {
  const names = met.map(({ name }) => name);
  const missing = wanted.filter((pattern) => !names.some((name) => pattern.test(name)));
  check(`${place}: Tab reaches every control`, missing.length === 0, `not ${missing.join(' ')} in ${names.join(' | ')}`);
  const unseen = met.filter(({ seen }) => !seen).map(({ name }) => name);
  check(`${place}: the focus is visible everywhere`, unseen.length === 0, unseen.join(' | '));
}

export async function byKeyboard(browser, video) {
  const watched = await watchedPage(browser);
  const { page } = watched;
  await page.goto(settings.url);
  await page.getByRole('heading', { name: 'Sign in' }).waitFor();
  checkReached('sign-in', await tabThrough(page), [/Skip to content/, /token|Access/i, /Show the token/, /^Sign in$/]);

  await page.reload();
  await page.getByRole('heading', { name: 'Sign in' }).waitFor();
  await tabTo(page, /^token$|^INPUT$/);
  await page.keyboard.insertText(settings.token);
  await page.keyboard.press('Enter');
  await page.locator(`[data-video="${video}"]`).waitFor();

  await page.reload();
  await page.locator(`[data-video="${video}"]`).waitFor();
  const title = await page.locator(`[data-video="${video}"] h2`).innerText();
  const exact = new RegExp(`^${title.trim().replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}$`);
  checkReached('library', await tabThrough(page, 120), [/Skip to content/, /Theatrum, library/, /Sign out/, /^Upload$/, exact, /^Delete /]);

  await page.reload();
  await page.locator(`[data-video="${video}"]`).waitFor();
  check('the card is reached', await tabTo(page, exact, 120));
  await page.keyboard.press('Enter');
  await page.waitForURL(/\/watch\//);
  await whenState(page, 'playing', 'paused');
  if (!(await media(page)).paused) await page.keyboard.press('k');
  await whenState(page, 'paused');
  checkReached('watch', await tabThrough(page), [/^Play$/, /Position/, /^Sound$/, /Volume/, /^Speed/, /^Quality/, /Keyboard shortcuts/, /Full screen/, /^Delete$/]);
  await menuByKeyboard(page);
  watched.checkClean('by keyboard');
  await watched.context.close();
}

async function menuByKeyboard(page) {
  await tabTo(page, /^Speed/);
  await page.keyboard.press('Enter');
  await page.keyboard.press('ArrowDown');
  const item = await focused(page);
  check('the menu’s focus is visible', item?.seen === true, JSON.stringify(item));
  await page.keyboard.press('Enter');
  check('a menu works by keyboard', (await media(page)).rate === 1.25, String((await media(page)).rate));
  check('and gives the focus back', /^Speed/.test((await focused(page))?.name ?? ''));
}
