use std::collections::HashMap;
use std::io::IsTerminal as _;
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use vgg_wgpu::data::{self, FetchOptions, Progress};

use super::common::{OutputError, bytes, say};

/// Download Fashion-MNIST (31 MB), checked by SHA-256; a broken download is continued
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  vgg-wgpu fetch --dir fashion-mnist\n\nWithout --dir the files go \
    where `vgg-wgpu train` finds them by itself."
)]
pub struct FetchArgs {
    /// Folder for the files [default: the user's cache folder]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Address under which the files lie [default: the authors' repository, then Keras's copy]
    #[arg(long, value_name = "URL")]
    mirror: Option<String>,
    /// Replace files of the same name that have other content
    #[arg(long)]
    force: bool,
}

/// Downloads the files.
pub fn run(args: &FetchArgs) -> Result<()> {
    let mut options = match &args.dir {
        Some(dir) => FetchOptions::fashion_mnist(dir),
        None => FetchOptions::fashion_mnist_in_cache()?,
    };
    options.overwrite = args.force;
    if let Some(mirror) = &args.mirror {
        options.mirrors = vec![mirror.clone()];
    }
    let mut display = Display::new();
    let paths = data::fetch(&options, &mut |progress| display.show(&progress))?;
    display.outcome?;
    say(format!("{} files in {}", paths.len(), options.dir.display()))?;
    Ok(())
}

/// A bar for each file on a terminal, lines elsewhere.
struct Display {
    bars: Option<MultiProgress>,
    running: HashMap<String, ProgressBar>,
    /// The first line that could not be printed; the download goes on without.
    outcome: Result<(), OutputError>,
}

impl Display {
    fn new() -> Self {
        let terminal = std::io::stderr().is_terminal();
        let bars = terminal.then(MultiProgress::new);
        Self { bars, running: HashMap::new(), outcome: Ok(()) }
    }

    fn show(&mut self, progress: &Progress<'_>) {
        match progress {
            Progress::Received { file, done, total } => self.received(file, *done, *total),
            Progress::Kept { file, .. } => self.end(file, "is there already"),
            Progress::Finished { file, .. } => self.end(file, "complete, SHA-256 checked"),
            Progress::Removed { file, path, error } => {
                self.line(&format!("{file}: {} removed: {error}", path.display()));
            }
            Progress::Retrying { file, error, wait } => {
                let seconds = wait.as_secs_f32();
                self.line(&format!("{file}: {error}; next attempt in {seconds} s"));
            }
            Progress::GaveUp { file, error } => self.line(&format!("{file}: {error}")),
            _ => {}
        }
    }

    fn received(&mut self, file: &str, done: u64, total: Option<u64>) {
        let Some(bars) = &self.bars else {
            // Only the first report of an attempt is worth a line.
            if self.running.insert(file.to_owned(), ProgressBar::hidden()).is_none() {
                let size = total.map_or_else(String::new, |total| format!(" ({})", bytes(total)));
                self.line(&format!("{file}: downloading{size}"));
            }
            return;
        };
        let bar = self.running.entry(file.to_owned()).or_insert_with(|| {
            bars.add(ProgressBar::no_length().with_style(style()).with_prefix(file.to_owned()))
        });
        if let Some(total) = total {
            bar.set_length(total);
        }
        bar.set_position(done);
    }

    fn end(&mut self, file: &str, how: &str) {
        if let Some(bar) = self.running.remove(file) {
            bar.finish_and_clear();
        }
        self.line(&format!("{file}: {how}"));
    }

    fn line(&mut self, line: &str) {
        let printed = match &self.bars {
            Some(bars) => bars.suspend(|| say(line)),
            None => say(line),
        };
        if self.outcome.is_ok() {
            self.outcome = printed;
        }
    }
}

fn style() -> ProgressStyle {
    let template = "{prefix:28} {bar:30} {bytes}/{total_bytes} {bytes_per_sec}, {eta} left";
    // The template is fixed; were it wrong, the plain bar would do.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
