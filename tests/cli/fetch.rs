use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread;

use crate::fails;

/// A server that has no file; it answers until the test's process ends.
fn empty_mirror() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/", listener.local_addr().unwrap());
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 4096]);
            let answer = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    address
}

#[test]
fn a_mirror_without_the_files_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (dir, mirror) = (folder.path().to_str().unwrap(), empty_mirror());
    let ended = crate::end(&mut crate::program(&["fetch", "--dir", dir, "--mirror", &mirror]));
    assert_eq!(ended.code, 1, "{ended:?}");
    for word in ["error: ", "train-images-idx3-ubyte.gz", mirror.as_str(), "404", "hint: "] {
        assert!(ended.stderr.contains(word), "no '{word}' in: {}", ended.stderr);
    }
    assert!(fs::read_dir(dir).unwrap().next().is_none(), "something was left in the folder");
}

#[test]
fn an_address_that_is_none_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().to_str().unwrap();
    let flags = ["fetch", "--dir", dir, "--mirror", "ftp://example.org/"];
    fails(&flags, 1, &["ftp://example.org/", "https://"]);
}

#[test]
fn another_file_of_the_name_is_kept_unless_forced() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().to_str().unwrap();
    let path = folder.path().join("train-images-idx3-ubyte.gz");
    fs::write(&path, "my own").unwrap();
    let mirror = empty_mirror();
    let flags = ["fetch", "--dir", dir, "--mirror", &mirror];
    fails(&flags, 1, &["exists with other content", "hint: --force"]);
    assert_eq!(fs::read_to_string(path).unwrap(), "my own");
}
