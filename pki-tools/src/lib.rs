//! pki-tools
