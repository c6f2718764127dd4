// One voice for screen readers: whatever is said here is read out once, politely, by the live region in App.svelte.

class Announcer {
  text = $state('');

  say(text: string): void {
    // The same words twice are only read twice if they differ: a no-break space is silent.
    this.text = this.text === text ? `${text}\u00a0` : text;
  }
}

export const announcer = new Announcer();
