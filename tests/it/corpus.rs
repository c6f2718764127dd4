//! The sample collections through the whole house: what is good plays, what is bad is refused or contained, and nothing of either leaks.

mod bad;
mod decode;
mod good;
mod secrets;
mod traced;
