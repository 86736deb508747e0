//! A small HTTP server on this machine whose answers follow a script.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// How a request is answered. Files that the server does not have are always answered with 404, but
/// for a redirect.
#[derive(Clone, Debug)]
pub enum Answer {
    /// As a good server does: ranges with 206, or 416 beyond the end.
    Whole,
    /// As `Whole`, but the connection ends after so many bytes of the body.
    Truncated(usize),
    /// The whole file, whatever range is asked for.
    NoRanges,
    /// A range that starts one byte too late.
    WrongRange,
    /// A range that ends after so many bytes, which a server may choose to send.
    ShortRange(usize),
    /// A byte in the middle is changed.
    Corrupt,
    /// This status, without a body.
    Status(u16),
    /// To the same file under another address.
    Redirect(String),
    /// So many bytes of the body, then nothing until the client leaves.
    Stall(usize),
    /// Nothing at all until the client leaves.
    Silence,
    /// The body in pieces, with a pause before each.
    Slow { pieces: usize, pause: Duration },
    /// A body without length or end.
    Endless,
    /// A body of this length, by its header.
    Promise(u64),
}

/// The server; its thread lives as long as the test.
pub struct Server {
    address: SocketAddr,
    /// Path and range of each request.
    log: Arc<Mutex<Vec<(String, String)>>>,
}

impl Server {
    /// Serves `files` by name. The n-th request gets the n-th answer, later ones the last.
    pub fn start<'a>(
        files: impl IntoIterator<Item = (&'a str, Vec<u8>)>,
        answers: Vec<Answer>,
    ) -> Self {
        let files: HashMap<String, Vec<u8>> =
            files.into_iter().map(|(name, bytes)| (format!("/data/{name}"), bytes)).collect();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let requests = Arc::clone(&log);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (path, range) = read_request(&stream).unwrap_or_default();
                let nth = {
                    let mut requests = requests.lock().unwrap();
                    requests.push((path.clone(), range.clone()));
                    requests.len() - 1
                };
                let answer = &answers[nth.min(answers.len() - 1)];
                // The client may well leave first.
                let _ = reply(stream, files.get(&path), &path, &range, answer);
            }
        });
        Self { address, log }
    }

    /// The address of its files, as a mirror.
    pub fn url(&self) -> String {
        format!("http://{}/data/", self.address)
    }

    /// The paths asked for.
    pub fn requests(&self) -> Vec<String> {
        self.log.lock().unwrap().iter().map(|(path, _)| path.clone()).collect()
    }

    /// The ranges asked for; empty where none was.
    pub fn ranges(&self) -> Vec<String> {
        self.log.lock().unwrap().iter().map(|(_, range)| range.clone()).collect()
    }
}

/// The path of a GET request and its range.
fn read_request(stream: &TcpStream) -> Option<(String, String)> {
    let mut lines = BufReader::new(stream).lines();
    let path = lines.next()?.ok()?.split(' ').nth(1)?.to_string();
    let mut range = String::new();
    for line in lines {
        let line = line.ok()?;
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("range:") {
            range = value.trim().to_string();
        }
    }
    Some((path, range))
}

fn reply(
    mut stream: TcpStream,
    file: Option<&Vec<u8>>,
    path: &str,
    range: &str,
    answer: &Answer,
) -> io::Result<()> {
    if let Answer::Redirect(to) = answer {
        let location = format!("{}{}", to.trim_end_matches("/data/"), path);
        return head(&mut stream, 302, &[format!("Location: {location}"), length(0)]);
    }
    let Some(file) = file else {
        return head(&mut stream, 404, &[length(0)]);
    };
    let start: Option<usize> =
        range.strip_prefix("bytes=").and_then(|range| range.strip_suffix('-')?.parse().ok());
    let ranged = |shift: usize| match start {
        Some(start) if start + shift < file.len() => (206, start + shift),
        Some(_) => (416, file.len()),
        None => (200, 0),
    };
    let (status, start) = match answer {
        Answer::Status(status) => return head(&mut stream, *status, &[length(0)]),
        Answer::Silence => return wait_for_the_end(stream),
        Answer::NoRanges => (200, 0),
        Answer::WrongRange => ranged(1),
        Answer::Promise(promised) => return head(&mut stream, 200, &[length(*promised)]),
        Answer::Endless => {
            head(&mut stream, 200, &[])?;
            loop {
                stream.write_all(&[0; 4096])?;
            }
        }
        _ => ranged(0),
    };
    let mut body = file[start..].to_vec();
    if let Answer::ShortRange(sent) = answer {
        body.truncate(*sent);
    }
    let mut headers = vec![length(body.len() as u64)];
    if status == 206 {
        let (end, total) = (start + body.len() - 1, file.len());
        headers.push(format!("Content-Range: bytes {start}-{end}/{total}"));
    }
    head(&mut stream, status, &headers)?;
    match answer {
        Answer::Truncated(sent) => stream.write_all(&body[..*sent]),
        Answer::Stall(sent) => {
            stream.write_all(&body[..*sent])?;
            wait_for_the_end(stream)
        }
        Answer::Slow { pieces, pause } => {
            for piece in body.chunks(body.len().div_ceil(*pieces)) {
                thread::sleep(*pause);
                stream.write_all(piece)?;
            }
            Ok(())
        }
        Answer::Corrupt => {
            let middle = body.len() / 2;
            body[middle] ^= 0x10;
            stream.write_all(&body)
        }
        _ => stream.write_all(&body),
    }
}

fn length(length: u64) -> String {
    format!("Content-Length: {length}")
}

fn head(stream: &mut TcpStream, status: u16, headers: &[String]) -> io::Result<()> {
    let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
    write!(stream, "HTTP/1.1 {status} Status\r\nConnection: close\r\n{headers}\r\n")
}

/// Returns when the client closes the connection.
fn wait_for_the_end(mut stream: TcpStream) -> io::Result<()> {
    stream.read_to_end(&mut Vec::new()).map(|_| ())
}
