//! A timeline of one step, in the Trace Event Format that Perfetto and Chrome open
//! (docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU).

use serde_json::{Value, json};
use vgg_wgpu::gpu::{AdapterFacts, Clock};
use vgg_wgpu::graph::{LaunchTime, TimedLaunch, TimedRun};

use super::report::Config;

/// The tracks.
const HOST: u32 = 1;
const DEVICE: u32 = 2;

/// The events of `run`: what the host did, and each kernel on the device. The two clocks have nothing
/// in common, so the device's begins with the first submission; without timestamps it is the host's.
pub fn timeline(run: &TimedRun, facts: &AdapterFacts, config: &Config) -> Value {
    let mut events = vec![
        name("process_name", 0, "vgg-wgpu bench"),
        name("thread_name", HOST, "host"),
        name("thread_name", DEVICE, &format!("{} ({})", facts.name, run.clock)),
    ];
    let host = &run.host;
    events.push(event(HOST, "record", (0.0, host.recorded), json!({})));
    for &submission in &host.submissions {
        events.push(event(HOST, "submit", submission, json!({})));
    }
    let waited = host.submissions.last().map_or(host.recorded, |(_, end)| *end);
    events.push(event(HOST, "wait", (waited.max(host.recorded), host.done), json!({})));
    let origin = match run.clock {
        Clock::Timestamps => host.submissions.first().map_or(0.0, |(begin, _)| *begin),
        Clock::Wall => 0.0,
    };
    events.extend(run.launches.iter().map(|launch| kernel(run, launch, origin)));
    let adapter = facts.to_string();
    json!({
        "traceEvents": events,
        "displayTimeUnit": "ms",
        "otherData": { "adapter": adapter, "config": config, "timed_by": run.clock },
    })
}

fn kernel(run: &TimedRun, launch: &TimedLaunch, origin: f64) -> Value {
    let LaunchTime { info, flop, bytes, .. } = &run.times[launch.place];
    // What the batch's launches of this place do is parted by their images.
    let of_place = run.launches.iter().filter(|other| other.place == launch.place);
    let all: usize = of_place.map(|other| other.images).sum();
    let rate = |amount: u64| {
        let seconds = launch.span.seconds();
        let part = amount as f64 * launch.images as f64 / all.max(1) as f64;
        if seconds > 0.0 { part / seconds / 1e9 } else { 0.0 }
    };
    let arguments = json!({
        "layer": info.layer,
        "op": info.op,
        "variant": info.variant,
        "images": launch.images,
        "GFLOP/s": rate(*flop),
        "GB/s": rate(*bytes),
    });
    let span = (origin + launch.span.begin, origin + launch.span.end);
    event(DEVICE, &format!("{} {}", info.layer, info.op), span, arguments)
}

/// A complete event from begin to end in seconds; the format has microseconds.
fn event(track: u32, name: &str, (begin, end): (f64, f64), arguments: Value) -> Value {
    let duration = (end - begin).max(0.0) * 1e6;
    json!({
        "ph": "X", "pid": 1, "tid": track, "name": name, "ts": begin * 1e6, "dur": duration,
        "args": arguments,
    })
}

fn name(what: &str, track: u32, name: &str) -> Value {
    json!({ "ph": "M", "pid": 1, "tid": track, "name": what, "args": { "name": name } })
}
