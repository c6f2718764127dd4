// Starts the page: styles, routes, session, then the frame that draws them.
import './styles/tokens.css';
import './styles/base.css';
import { mount } from 'svelte';
import App from './App.svelte';
import { router } from './lib/router.svelte';
import { session } from './lib/session.svelte';

const target = document.getElementById('app');
if (!target) throw new Error('index.html has no #app');

router.start();
void session.start();
mount(App, { target });
