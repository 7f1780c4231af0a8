//! saltfo
