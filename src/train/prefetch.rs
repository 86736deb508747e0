//! Batches that are read on the host ahead of the device.

use std::panic;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rayon::prelude::*;

use super::TrainError;
use crate::data::ImageSet;

/// Batches that are read before the first of them is asked for: enough to even out pictures that take
/// long.
const AHEAD: usize = 3;

/// The images of a batch, in order.
#[derive(Debug)]
pub(super) struct HostBatch {
    /// `(images, rows, columns, channels)` bytes.
    pub pixels: Vec<u8>,
    pub labels: Vec<u32>,
}

/// A pass over a set, read on all cores ahead of who takes its batches.
#[derive(Debug)]
pub(super) struct Prefetch {
    batches: Receiver<Result<HostBatch, TrainError>>,
    reader: Option<JoinHandle<()>>,
    waited: Duration,
}

impl Prefetch {
    /// Begins to read `set` in the order given. It ends when the batches are dropped.
    pub fn start(set: Arc<dyn ImageSet>, order: Vec<u32>, batch: usize) -> Self {
        let (send, batches) = sync_channel(AHEAD);
        let reader = thread::spawn(move || {
            for places in order.chunks(batch.max(1)) {
                let read = read(&*set, places);
                let failed = read.is_err();
                // Nobody takes it: the run has ended.
                if send.send(read).is_err() || failed {
                    return;
                }
            }
        });
        Self { batches, reader: Some(reader), waited: Duration::ZERO }
    }

    /// The next batch; `None` after the last.
    pub fn next(&mut self) -> Result<Option<HostBatch>, TrainError> {
        let start = Instant::now();
        let received = self.batches.recv();
        self.waited += start.elapsed();
        if let Ok(read) = received {
            return read.map(Some);
        }
        match self.reader.take().map(JoinHandle::join) {
            // A set of the caller's own panicked on the other thread.
            Some(Err(payload)) => panic::resume_unwind(payload),
            _ => Ok(None),
        }
    }

    /// Seconds that the caller has waited for batches.
    pub fn waited(&self) -> f64 {
        self.waited.as_secs_f64()
    }
}

fn read(set: &dyn ImageSet, places: &[u32]) -> Result<HostBatch, TrainError> {
    let (height, width, channels) = set.shape();
    let len = height * width * channels;
    let mut pixels = vec![0; len * places.len()];
    let read = |(pixels, &place): (&mut [u8], &u32)| {
        set.read(place as usize, pixels).map_err(|source| TrainError::Image { place, source })
    };
    pixels.par_chunks_mut(len.max(1)).zip(places).try_for_each(read)?;
    Ok(HostBatch { pixels, labels: places.iter().map(|&i| set.label(i as usize)).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::ReadError;

    /// Images of two bytes, their number; one cannot be read.
    #[derive(Debug)]
    struct Numbers {
        len: usize,
        bad: usize,
    }

    impl ImageSet for Numbers {
        fn len(&self) -> usize {
            self.len
        }

        fn shape(&self) -> (usize, usize, usize) {
            (1, 2, 1)
        }

        fn label(&self, index: usize) -> u32 {
            index as u32 % 3
        }

        fn read(&self, index: usize, pixels: &mut [u8]) -> Result<(), ReadError> {
            if index == self.bad {
                return Err("it is gone".into());
            }
            pixels.fill(index as u8);
            Ok(())
        }
    }

    #[test]
    fn batches_come_in_order_and_the_last_is_as_small_as_it_is() {
        let set = Arc::new(Numbers { len: 100, bad: 1000 });
        let order: Vec<u32> = (0..100).rev().collect();
        let mut batches = Prefetch::start(set, order.clone(), 16);
        let (mut seen, mut sizes) = (Vec::new(), Vec::new());
        while let Some(batch) = batches.next().unwrap() {
            let images = batch.pixels.chunks_exact(2).map(|pixels| u32::from(pixels[1]));
            seen.extend(images);
            sizes.push(batch.labels.len());
            assert!(batch.labels.iter().all(|&label| label < 3));
        }
        assert_eq!(seen, order);
        assert_eq!(sizes, [16, 16, 16, 16, 16, 16, 4]);
        assert!(batches.waited() > 0.0);
    }

    #[test]
    fn an_image_that_cannot_be_read_ends_the_pass_after_the_batches_before() {
        let set = Arc::new(Numbers { len: 100, bad: 40 });
        let mut batches = Prefetch::start(set, (0..100).collect(), 16);
        for _ in 0..2 {
            assert!(batches.next().unwrap().is_some());
        }
        let error = batches.next().unwrap_err();
        assert!(matches!(error, TrainError::Image { place: 40, .. }), "{error}");
        assert!(batches.next().unwrap().is_none());
    }

    #[test]
    fn a_pass_that_is_dropped_ends_its_reader() {
        let set = Arc::new(Numbers { len: 1000, bad: 1000 });
        let mut batches =
            Prefetch::start(Arc::clone(&set) as Arc<dyn ImageSet>, (0..1000).collect(), 1);
        batches.next().unwrap();
        let reader = batches.reader.take().unwrap();
        drop(batches);
        reader.join().unwrap();
        assert_eq!(Arc::strong_count(&set), 1);
    }
}
