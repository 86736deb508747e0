//! The optimiser's part of a step: what it keeps of gradients, and the launches that update parameters.

use super::network::check_length;
use super::parameter::Parameter;
use super::plan::{self, Arena};
use super::program::Bound;
use super::{GraphError, Network};
use crate::gpu::{AdapterFacts, BufferRange};
use crate::ops::{ClipFactor, Decay, Decayed, SQUARE_SLOTS, SquareSums, Update};

/// Bytes of the sums of squares of a range of gradients.
const SUMS_BYTES: u64 = SQUARE_SLOTS as u64 * 16;
/// Bytes of the factor of gradients.
const FACTOR_BYTES: u64 = 16;

/// Bytes to find the norm of gradients in that lie in so many ranges.
pub(super) fn clip_bytes(ranges: usize) -> u64 {
    ranges as u64 * SUMS_BYTES + FACTOR_BYTES
}

/// A part of the parameters' buffers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    buffer: usize,
    offset: u64,
    bytes: u64,
    /// What weight decay falls on, where it tells weights from biases.
    decayed: Decayed,
}

/// All gradients, in ranges that each fit a binding.
pub(super) fn gradient_ranges(
    parameters: &[Parameter],
    places: &Arena,
    facts: &AdapterFacts,
) -> Vec<Range> {
    let most = facts.max_binding / facts.storage_alignment * facts.storage_alignment;
    let with = plan::buffers_of(parameters, places, |parameter| parameter.gradient);
    let mut ranges = Vec::new();
    for (buffer, &size) in places.buffers.iter().enumerate().filter(|(buffer, _)| with[*buffer]) {
        for offset in (0..size).step_by(most as usize) {
            let bytes = most.min(size - offset);
            let decayed = Decayed::all(bytes as usize / 4);
            ranges.push(Range { buffer, offset, bytes, decayed });
        }
    }
    ranges
}

/// The gradients of each parameter, which fit a binding.
fn parameter_ranges(parameters: &[Parameter], places: &Arena) -> Vec<Range> {
    let stored = parameters.iter().enumerate().filter(|(_, parameter)| parameter.gradient);
    let range = |(i, parameter): (usize, &Parameter)| {
        let place = places.place(i);
        let (bytes, decayed) = (parameter.layout.bytes(1), Decayed::weights_of(parameter.layout));
        Range { buffer: place.buffer, offset: place.offset, bytes, decayed }
    };
    stored.map(range).collect()
}

impl Network {
    /// How many moments the optimiser keeps of each parameter that is trained: 1 of SGD with momentum, 2
    /// of AdamW, else 0.
    pub fn moments(&self) -> usize {
        self.moments.len()
    }

    /// What the optimiser keeps for parameter `i`, a tensor stored like the parameter for each of its
    /// moments; none of a frozen parameter.
    ///
    /// # Errors
    /// [`GraphError::Gpu`] if the device fails.
    pub fn read_moments(&self, i: usize) -> Result<Vec<Vec<f32>>, GraphError> {
        self.moments_of(i).map(|range| Ok(self.gpu().read(&range)?)).collect()
    }

    /// Sets what the optimiser keeps for parameter `i` to stored values, as [`Network::read_moments`]
    /// gives them.
    ///
    /// # Errors
    /// [`GraphError::Length`] of other lengths or another number of tensors, or [`GraphError::Gpu`].
    pub fn write_moments(&self, i: usize, moments: &[Vec<f32>]) -> Result<(), GraphError> {
        let ranges: Vec<_> = self.moments_of(i).collect();
        if ranges.len() != moments.len() {
            let name = format!("the moments of {}", self.parameters[i].layer);
            let (expected, found) = (ranges.len(), moments.len());
            return Err(GraphError::Length { name, expected, found });
        }
        for (range, values) in ranges.iter().zip(moments) {
            check_length(&self.parameters[i], values)?;
            self.gpu().write(range, values)?;
        }
        Ok(())
    }

    fn moments_of(&self, i: usize) -> impl Iterator<Item = BufferRange> {
        self.moments.iter().filter_map(move |buffers| self.of_weights(buffers, i))
    }

    /// The update of all parameters that have gradients, after these are clipped if they are to be.
    pub(super) fn bind_updates(&self) -> Result<Vec<Bound>, GraphError> {
        let optimizer = &self.options.optimizer;
        let mut launches = self.bind_clip()?;
        let ranges = match optimizer.decay() {
            Decay::Weights => parameter_ranges(&self.parameters, &self.places),
            Decay::None | Decay::All => {
                gradient_ranges(&self.parameters, &self.places, self.gpu().facts())
            }
        };
        for range in ranges.into_iter().filter(|_| self.options.train) {
            let Range { buffer, offset, bytes, decayed } = range;
            let gradients = self.gradients[buffer].as_ref().expect("it has one");
            let moments = self.moments.iter().map(|moments| {
                let moment = moments[buffer].as_ref().expect("what has a gradient has moments");
                moment.whole().part(offset, bytes)
            });
            let mut buffers = vec![
                self.weights[buffer].whole().part(offset, bytes),
                gradients.whole().part(offset, bytes),
            ];
            buffers.extend(moments);
            buffers.extend(
                self.clip
                    .as_ref()
                    .map(|clip| clip.whole().part(clip.size() - FACTOR_BYTES, FACTOR_BYTES)),
            );
            let (len, form, clips) = (bytes as usize / 4, optimizer.form(), self.clip.is_some());
            let op = Box::new(Update { len, form, decayed, clips });
            launches.push(self.bound("update".to_owned(), op, &buffers)?);
        }
        Ok(launches)
    }

    /// What finds the factor of clipped gradients.
    fn bind_clip(&self) -> Result<Vec<Bound>, GraphError> {
        let Some(clip) = &self.clip else { return Ok(Vec::new()) };
        let ranges = gradient_ranges(&self.parameters, &self.places, self.gpu().facts());
        let mut launches = Vec::new();
        for (place, range) in (0..).zip(&ranges) {
            let gradients = self.gradients[range.buffer].as_ref().expect("it has one");
            let buffers = [
                gradients.whole().part(range.offset, range.bytes),
                clip.whole().part(place * SUMS_BYTES, SUMS_BYTES),
            ];
            let op = Box::new(SquareSums { len: range.bytes as usize / 4 });
            launches.push(self.bound("clip".to_owned(), op, &buffers)?);
        }
        let sums = ranges.len() as u64 * SUMS_BYTES;
        let buffers = [clip.whole().part(0, sums), clip.whole().part(sums, FACTOR_BYTES)];
        let op = Box::new(ClipFactor { ranges: ranges.len() });
        launches.push(self.bound("clip".to_owned(), op, &buffers)?);
        Ok(launches)
    }
}
