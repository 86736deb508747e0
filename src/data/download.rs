//! One attempt to download one file from one address.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;
use std::time::Duration;

use ureq::http::header::{ACCEPT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, HeaderName, RANGE};
use ureq::http::{Response, StatusCode};
use ureq::{Body, Timeout};

use super::fetch::{Content, check, hex, remove};
use super::{FetchError, Progress, RemoteFile};

/// The client. `stall_timeout` bounds each single read and write of the connection, so that it
/// starts anew with every byte.
pub(super) fn agent(connect_timeout: Duration, stall_timeout: Duration) -> ureq::Agent {
    ureq::Agent::config_builder()
        .timeout_resolve(Some(connect_timeout))
        .timeout_connect(Some(connect_timeout))
        .timeout_per_read(Some(stall_timeout))
        .timeout_per_write(Some(stall_timeout))
        .http_status_as_error(false)
        .user_agent(concat!("vgg-wgpu/", env!("CARGO_PKG_VERSION")))
        .build()
        .new_agent()
}

/// A file, its address, and the local file that collects its bytes.
pub(super) struct Download<'a> {
    pub agent: &'a ureq::Agent,
    pub url: &'a str,
    pub file: &'a RemoteFile,
    pub part: &'a Path,
    pub stall_timeout: Duration,
}

impl Download<'_> {
    /// Completes the part and checks it. After an error the part holds what came, to be continued,
    /// unless the error [`FetchError::spoils_part`].
    pub fn attempt(&self, progress: &mut dyn FnMut(Progress<'_>)) -> Result<(), FetchError> {
        let offset = self.part_len()?;
        let mut response = self.request(offset)?;
        if response.status() == StatusCode::RANGE_NOT_SATISFIABLE && offset > 0 {
            // The part is as long as the server's file, or longer: complete, or of no use.
            if let Content::Right = check(self.part, self.file)? {
                return Ok(());
            }
            remove(self.part)?;
            response = self.request(0)?;
        }
        match response.status() {
            StatusCode::PARTIAL_CONTENT => self.receive(response, offset, progress)?,
            // Also the answer of a server that does not know ranges.
            StatusCode::OK => self.receive(response, 0, progress)?,
            status => {
                return Err(FetchError::Status { url: self.url(), status: status.as_u16() });
            }
        }
        match check(self.part, self.file)? {
            Content::Right => Ok(()),
            Content::Wrong { found } => Err(self.corrupt(found)),
            Content::Missing => Err(self.corrupt("none: the file has gone".to_string())),
        }
    }

    fn part_len(&self) -> Result<u64, FetchError> {
        match fs::metadata(self.part) {
            Ok(metadata) => Ok(metadata.len()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(FetchError::local(self.part, "read", error)),
        }
    }

    /// Asks for the bytes from `offset` on.
    fn request(&self, offset: u64) -> Result<Response<Body>, FetchError> {
        let mut request = self
            .agent
            .get(self.url)
            // Compression on the way would change what an offset means.
            .header(ACCEPT_ENCODING, "identity");
        if offset > 0 {
            request = request.header(RANGE, format!("bytes={offset}-"));
        }
        let https_only = self.url.starts_with("https://");
        request.config().https_only(https_only).build().call().map_err(|error| match error {
            ureq::Error::Timeout(timeout) if is_stall(timeout) => self.stalled(offset),
            error => FetchError::Request { url: self.url(), source: Box::new(error) },
        })
    }

    /// Writes the body to the part, from `offset` on.
    fn receive(
        &self,
        response: Response<Body>,
        offset: u64,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<(), FetchError> {
        let total = match response.status() {
            StatusCode::PARTIAL_CONTENT => self.total_of_range(&response, offset)?,
            _ => header(&response, CONTENT_LENGTH).and_then(|length| length.parse().ok()),
        };
        let limit = longest(self.file.content_len);
        if total.is_some_and(|total| total > limit) {
            return Err(FetchError::TooLong { url: self.url(), limit });
        }
        let mut part = self.open_part(offset)?;
        let mut body = response.into_body().into_reader();
        let mut buffer = vec![0; 64 * 1024];
        let file = self.file.name.as_str();
        let mut done = offset;
        progress(Progress::Received { file, done, total });
        loop {
            let count = match body.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.broken_off(error, done, total)),
            };
            done += count as u64;
            if done > limit {
                return Err(FetchError::TooLong { url: self.url(), limit });
            }
            part.write_all(buffer.get(..count).unwrap_or_default())
                .map_err(|source| FetchError::local(self.part, "write", source))?;
            progress(Progress::Received { file, done, total });
        }
        if total.is_some_and(|total| done < total) {
            let url = self.url();
            return Err(FetchError::Interrupted { url, received: done, total, source: None });
        }
        Ok(())
    }

    /// The part, ready to be written at `offset`: its end, or 0 to start over.
    fn open_part(&self, offset: u64) -> Result<File, FetchError> {
        let mut options = OpenOptions::new();
        if offset > 0 {
            options.append(true);
        } else {
            options.write(true).create(true).truncate(true);
        }
        options.open(self.part).map_err(|source| FetchError::local(self.part, "write", source))
    }

    /// The file's length out of `Content-Range: bytes 100-199/200`, once the answer is found to
    /// start at `offset`.
    fn total_of_range(
        &self,
        response: &Response<Body>,
        offset: u64,
    ) -> Result<Option<u64>, FetchError> {
        let found = header(response, CONTENT_RANGE).unwrap_or_default();
        let parts = found.strip_prefix("bytes ").and_then(|range| range.split_once('/'));
        let start: Option<u64> =
            parts.and_then(|(range, _)| range.split_once('-')?.0.trim().parse().ok());
        match (start, parts) {
            // The total may be `*`: unknown.
            (Some(start), Some((_, total))) if start == offset => Ok(total.trim().parse().ok()),
            _ => Err(FetchError::BadRange { url: self.url(), offset, found: found.to_string() }),
        }
    }

    /// The error for a body that broke after `received` bytes.
    fn broken_off(&self, error: io::Error, received: u64, total: Option<u64>) -> FetchError {
        let client = error.get_ref().and_then(|inner| inner.downcast_ref::<ureq::Error>());
        if let Some(ureq::Error::Timeout(timeout)) = client
            && is_stall(*timeout)
        {
            return self.stalled(received);
        }
        let source = (error.kind() != io::ErrorKind::UnexpectedEof).then_some(error);
        FetchError::Interrupted { url: self.url(), received, total, source }
    }

    fn stalled(&self, received: u64) -> FetchError {
        FetchError::Stalled { url: self.url(), after: self.stall_timeout, received }
    }

    fn corrupt(&self, found: String) -> FetchError {
        FetchError::Corrupt { url: self.url(), expected: hex(&self.file.content_sha256), found }
    }

    fn url(&self) -> String {
        self.url.to_string()
    }
}

/// The most bytes that a gzip file of this content can reasonably have: stored blocks cost 5 bytes
/// in 64 KiB, and the header holds a name.
fn longest(content_len: u64) -> u64 {
    content_len.saturating_add(content_len / 1000).saturating_add(64 * 1024)
}

fn is_stall(timeout: Timeout) -> bool {
    matches!(timeout, Timeout::PerRead | Timeout::PerWrite)
}

fn header<T>(response: &Response<T>, name: HeaderName) -> Option<&str> {
    response.headers().get(name)?.to_str().ok()
}

impl FetchError {
    /// The error of the local file system that `source` is.
    pub(super) fn local(path: &Path, action: &'static str, source: io::Error) -> Self {
        let path = path.to_path_buf();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::DiskFull { path, action, source }
            }
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::PermissionDenied { path, action, source }
            }
            _ => Self::Local { path, action, source },
        }
    }

    /// True if another mirror would not help.
    pub(super) fn is_local(&self) -> bool {
        matches!(self, Self::DiskFull { .. } | Self::PermissionDenied { .. } | Self::Local { .. })
    }

    /// True if the same mirror may do better next time.
    pub(super) fn is_transient(&self) -> bool {
        match self {
            Self::Status { status, .. } => matches!(status, 408 | 429 | 500..=599),
            // Without a network every name is unknown, and a wrong certificate stays wrong.
            Self::Request { source, .. } => !matches!(
                **source,
                ureq::Error::HostNotFound
                    | ureq::Error::BadUri(_)
                    | ureq::Error::Http(_)
                    | ureq::Error::RequireHttpsOnly(_)
                    | ureq::Error::TooManyRedirects
                    | ureq::Error::Tls(_)
                    | ureq::Error::Rustls(_)
            ),
            Self::Stalled { .. }
            | Self::Interrupted { .. }
            | Self::BadRange { .. }
            | Self::Corrupt { .. } => true,
            _ => false,
        }
    }

    /// True if the part cannot be continued.
    pub(super) fn spoils_part(&self) -> bool {
        matches!(self, Self::BadRange { .. } | Self::TooLong { .. } | Self::Corrupt { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_disk_tell_what_to_do() {
        let error = |kind: io::ErrorKind| FetchError::local(Path::new("a"), "write", kind.into());
        let denied = error(io::ErrorKind::PermissionDenied);
        assert!(matches!(denied, FetchError::PermissionDenied { .. }));
        assert_eq!(denied.to_string(), "a: cannot write: permission denied; choose another folder");
        assert!(matches!(error(io::ErrorKind::StorageFull), FetchError::DiskFull { .. }));
        assert!(matches!(error(io::ErrorKind::QuotaExceeded), FetchError::DiskFull { .. }));
        let other = error(io::ErrorKind::NotADirectory);
        assert!(matches!(other, FetchError::Local { .. }));
        assert!(denied.is_local() && other.is_local() && !denied.is_transient());
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        let status = |status| FetchError::Status { url: String::new(), status };
        assert!([408, 429, 500, 503].map(status).iter().all(FetchError::is_transient));
        assert!(![400, 401, 403, 404, 410, 416].map(status).iter().any(FetchError::is_transient));
        let request = |error| FetchError::Request { url: String::new(), source: Box::new(error) };
        assert!(request(ureq::Error::ConnectionFailed).is_transient());
        assert!(!request(ureq::Error::HostNotFound).is_transient());
        assert!(!request(ureq::Error::RequireHttpsOnly(String::new())).is_transient());
    }

    #[test]
    fn every_gzip_file_is_within_the_limit() {
        use flate2::{Compression, write::GzEncoder};

        for length in [0, 1, 100_000, 1_000_000] {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::none());
            encoder.write_all(&vec![7; length]).unwrap();
            let packed = encoder.finish().unwrap();
            assert!(packed.len() > length && packed.len() as u64 <= longest(length as u64));
        }
    }
}
