// Types of the imports that Vite resolves: assets as URLs, Svelte components.
/// <reference types="vite/client" />
/// <reference types="svelte" />
