// How Svelte compiles the page: runes everywhere, so that no file falls back to the older reactivity.
export default {
  compilerOptions: { runes: true },
};
