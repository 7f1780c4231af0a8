//! What `saltfo run` writes beside the return itself.

pub mod gitlab;
pub mod junit;
