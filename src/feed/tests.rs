//! The feed as a whole, over a log in memory.

mod bounds;
mod catch_up;
mod places;
mod reading;
mod topics;
