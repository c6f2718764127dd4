// What all menus do alike (WAI-ARIA Authoring Practices, menu button): arrows open and move, Escape closes and returns, Tab and a click
// outside close.
import { tick } from 'svelte';

export class MenuState {
  /** The element around button and list, whose keys these are. */
  root = $state<HTMLElement>();
  button = $state<HTMLButtonElement>();
  #open = $state(false);

  /** `bound`: where it is kept whether the menu is open, if that is not here. */
  constructor(readonly bound?: { open: boolean }) {}

  get open(): boolean {
    return this.bound ? this.bound.open : this.#open;
  }

  set open(open: boolean) {
    if (this.bound) this.bound.open = open;
    else this.#open = open;
  }

  /** Opens it, with the focus on the choice that is in force, or the first. */
  async show(): Promise<void> {
    this.open = true;
    await tick();
    const items = this.#items();
    (items.find((item) => item.getAttribute('aria-checked') === 'true') ?? items[0])?.focus();
  }

  /** Closes it and gives the focus back to its button. */
  close(): void {
    this.open = false;
    this.button?.focus();
  }

  readonly toggle = (): void => {
    if (this.open) this.close();
    else void this.show();
  };

  readonly onkeydown = (event: KeyboardEvent): void => {
    if (!this.open) {
      if (event.target === this.button && (event.key === 'ArrowUp' || event.key === 'ArrowDown')) {
        event.preventDefault();
        event.stopPropagation();
        void this.show();
      }
      return;
    }
    // An open menu keeps its keys from the player.
    event.stopPropagation();
    const items = this.#items();
    const at = items.indexOf(document.activeElement as HTMLElement);
    const to = { ArrowDown: (at + 1) % items.length, ArrowUp: (at - 1 + items.length) % items.length, Home: 0, End: items.length - 1 }[event.key];
    if (to !== undefined) {
      event.preventDefault();
      items[to]?.focus();
    } else if (event.key === 'Escape') {
      event.preventDefault();
      this.close();
    } else if (event.key === 'Tab') {
      this.open = false;
    }
  };

  /** For the window: it sees the clicks outside. */
  readonly onpointerdown = (event: PointerEvent): void => {
    if (this.open && !this.root?.contains(event.target as Node)) this.open = false;
  };

  #items(): HTMLElement[] {
    return Array.from(this.root?.querySelectorAll<HTMLElement>('[role=menuitem], [role=menuitemradio]') ?? []);
  }
}
