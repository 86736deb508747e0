//! What the peers written in Rust share: the network, and how `compare.py` talks to them.
//!
//! A peer prepares its network, takes a first step and prints a line of JSON about it. Then it reads
//! lines with a number of steps, takes that many, and prints their times; it ends with its input.

use std::error::Error;
use std::fmt::Display;
use std::io::{BufRead as _, Write as _};
use std::time::Instant;

/// Convolutions of a block, and their channels.
pub const BLOCKS: [(usize, usize); 5] = [(1, 16), (1, 32), (2, 64), (2, 128), (2, 128)];
/// Outputs of the dense layers, after the first two of which come ReLU and dropout.
pub const DENSE: [usize; 3] = [4096, 4096, CLASSES];
pub const CLASSES: usize = 10;
pub const LEARNING_RATE: f64 = 0.05;

pub type Outcome<T> = Result<T, Box<dyn Error>>;

/// What to measure: `PROGRAM RESIZE BATCH train|infer [BACKEND]`.
pub struct Task {
    /// Width and height of the images.
    pub resize: usize,
    /// Images in a step.
    pub batch: usize,
    /// Forward, backward and update; else forward only.
    pub train: bool,
    /// Of those that the peer has.
    #[allow(dead_code, reason = "not every peer has several")]
    pub backend: String,
    start: Instant,
}

impl Task {
    pub fn from_arguments() -> Outcome<Self> {
        let start = Instant::now();
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let (resize, batch, pass, backend) = match &arguments[..] {
            [resize, batch, pass] => (resize, batch, pass, String::new()),
            [resize, batch, pass, backend] => (resize, batch, pass, backend.clone()),
            _ => return Err("usage: RESIZE BATCH train|infer [BACKEND]".into()),
        };
        let train = match pass.as_str() {
            "train" => true,
            "infer" => false,
            _ => return Err(format!("{pass}: neither train nor infer").into()),
        };
        Ok(Self { resize: resize.parse()?, batch: batch.parse()?, train, backend, start })
    }

    /// Width and height after the last block.
    pub fn last_side(&self) -> usize {
        self.resize >> BLOCKS.len()
    }

    /// The class of each image: any will do.
    pub fn labels(&self) -> Vec<u32> {
        (0..self.batch).map(|i| ((7 * i + 3) % CLASSES) as u32).collect()
    }

    /// Takes steps as asked. A step returns the loss or the sum of the logits when it is computed,
    /// by which the device is known to be done.
    pub fn serve<E: Display>(&self, mut step: impl FnMut() -> Result<f32, E>) -> Outcome<()> {
        let startup = milliseconds(self.start);
        let mut timed = || -> Outcome<(f64, f32)> {
            let start = Instant::now();
            let value = step().map_err(|error| error.to_string())?;
            match value.is_finite() {
                true => Ok((milliseconds(start), value)),
                false => Err(format!("wrong results: {value}").into()),
            }
        };
        let (first, value) = timed()?;
        let facts = [("startup_ms", startup), ("first_step_ms", first), ("value", value.into())];
        let facts = facts.map(|(name, number)| format!(r#""{name}": {number}"#)).join(", ");
        say(format!("{{{facts}}}"))?;
        for line in std::io::stdin().lock().lines() {
            let steps: usize = line?.trim().parse()?;
            let times: Outcome<Vec<f64>> = (0..steps).map(|_| Ok(timed()?.0)).collect();
            say(format!(r#"{{"ms": {:?}}}"#, times?))?;
        }
        Ok(())
    }
}

fn milliseconds(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e3
}

fn say(line: String) -> Outcome<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}
