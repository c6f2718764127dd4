//! Tests of whole rooms and of the whole house, with real ffmpeg, databases and listeners.

mod corpus;
mod edge;
mod house;
mod sandbox;
mod support;
