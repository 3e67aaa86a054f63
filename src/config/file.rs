//! Variables that name files: what is wrong with one is said at start, with everything else.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A PEM file that holds certificates.
pub(super) fn authorities(text: &str) -> Result<PathBuf, String> {
    let path = path(text)?;
    let pem = std::fs::read(&path).map_err(|error| format!("cannot be read: {error}"))?;
    let found = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    match found {
        Ok(found) if found.is_empty() => Err("holds no certificate".to_owned()),
        Ok(_) => Ok(path),
        Err(_) => Err("is not a PEM file of certificates".to_owned()),
    }
}

/// A PEM file that holds a private key.
pub(super) fn private_key(text: &str) -> Result<PathBuf, String> {
    let path = path(text)?;
    let pem = std::fs::read(&path).map_err(|error| format!("cannot be read: {error}"))?;
    match PrivateKeyDer::from_pem_slice(&pem) {
        Ok(_) => Ok(path),
        Err(_) => Err("holds no private key".to_owned()),
    }
}

/// A file that can be written, or made; it is not made here.
pub(super) fn writable(text: &str) -> Result<PathBuf, String> {
    let path = path(text)?;
    if path.exists() {
        let opened = OpenOptions::new().append(true).open(&path);
        opened.map_err(|error| format!("cannot be written: {error}"))?;
        return Ok(path);
    }
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    match folder {
        Some(folder) if !folder.is_dir() => Err("is in a folder that does not exist".to_owned()),
        _ => Ok(path),
    }
}

fn path(text: &str) -> Result<PathBuf, String> {
    if text.chars().any(char::is_control) {
        return Err("holds a control character".to_owned());
    }
    if text.ends_with('/') {
        return Err("names a directory, not a file".to_owned());
    }
    Ok(PathBuf::from(text))
}
