//! x
mod edge;
