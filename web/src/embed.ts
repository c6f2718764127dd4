// Starts the page that other sites show in a frame.
import './styles/tokens.css';
import './styles/base.css';
import { mount } from 'svelte';
import Embed from './routes/Embed.svelte';

const target = document.getElementById('app');
if (!target) throw new Error('embed.html has no #app');

mount(Embed, { target });
