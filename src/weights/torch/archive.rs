//! The zip form of `torch.save`: `data.pkl`, a record of bytes a storage, all in one folder, none
//! of them compressed (PyTorch, caffe2/serialize/inline_container.h).

use std::io::Cursor;

use flate2::Crc;
use zip::CompressionMethod;
use zip::read::ZipArchive;

use super::super::Tensor;
use super::super::view::Budget;
use super::error::{TorchError, shown};
use super::pickle::unpickle;
use super::state_dict::{Storages, tensors};

/// A record's name and bytes.
struct Record<'a> {
    name: String,
    bytes: &'a [u8],
    /// As the archive says; 0 if it was not computed.
    checksum: u32,
}

/// True if the bytes begin as those of a zip archive.
pub(crate) fn is_archive(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"PK\x05\x06")
}

/// The tensors of an archive.
pub(crate) fn read_archive(bytes: &[u8]) -> Result<Vec<Tensor<'static>>, TorchError> {
    let records = records(bytes)?;
    let folder = records.first().and_then(|first| first.name.split_once('/'));
    let prefix = folder.map_or(String::new(), |(folder, _)| format!("{folder}/"));
    let find = |name: &str| {
        let mut found = records.iter().filter(|r| r.name.strip_prefix(&prefix) == Some(name));
        found.next().map(Record::checked)
    };
    if find("byteorder").transpose()?.is_some_and(|order| order != b"little") {
        return Err(TorchError::BigEndian);
    }
    let missing = || TorchError::NoRecord { record: format!("{}data.pkl", shown(&prefix)) };
    let pickle = unpickle(find("data.pkl").ok_or_else(missing)??, 0)?;
    let mut storages = Storages::new();
    let data = format!("{prefix}data/");
    for record in &records {
        if let Some(key) = record.name.strip_prefix(&data) {
            storages.insert(key, record.checked()?);
        }
    }
    tensors(&pickle, &storages, &mut Budget::of_file(bytes.len()))
}

/// All records, each within the file, none sharing bytes with another: all together are not
/// longer than the file.
fn records(bytes: &[u8]) -> Result<Vec<Record<'_>>, TorchError> {
    let mut archive = ZipArchive::new(Cursor::new(bytes))?;
    // The records of its program are packed, so it is told before they are looked at.
    if archive.file_names_raw().any(|name| name.ends_with(b"/constants.pkl")) {
        return Err(TorchError::TorchScript);
    }
    if archive.has_duplicate_names() || archive.has_overlapping_entries()? {
        return Err(TorchError::Overlap);
    }
    (0..archive.len())
        .map(|index| {
            let entry = archive.by_index_raw(index)?;
            let name = entry.name()?.into_owned();
            // Nothing is unpacked to disk, but nobody who means well writes such names.
            if name.starts_with('/') || name.split(['/', '\\']).any(|part| part == "..") {
                return Err(TorchError::Name { record: shown(&name) });
            }
            let packed = |method| TorchError::Packed { record: shown(&name), method };
            if entry.encrypted() {
                return Err(packed("encrypted".to_owned()));
            }
            if entry.compression() != CompressionMethod::Stored {
                return Err(packed(entry.compression().to_string()));
            }
            let place = entry.data_start().and_then(|start| {
                let start = usize::try_from(start).ok()?;
                let end = start.checked_add(usize::try_from(entry.size()).ok()?)?;
                (entry.size() == entry.compressed_size()).then_some(start..end)
            });
            let bytes = place.and_then(|place| bytes.get(place)).ok_or(TorchError::Overlap)?;
            let checksum = entry.crc32();
            drop(entry);
            Ok(Record { name, bytes, checksum })
        })
        .collect()
}

impl<'a> Record<'a> {
    /// Its bytes, if they are those that were written. PyTorch can be told not to compute
    /// checksums, and writes 0 then.
    fn checked(&self) -> Result<&'a [u8], TorchError> {
        let mut crc = Crc::new();
        crc.update(self.bytes);
        let (found, expected) = (crc.sum(), self.checksum);
        if expected != 0 && found != expected {
            return Err(TorchError::Checksum { record: shown(&self.name), found, expected });
        }
        Ok(self.bytes)
    }
}
