use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use clap::Args;
use serde::Serialize;
use vgg_wgpu::graph::ResizeFilter;
use vgg_wgpu::train::{self, Explanation, HeatMap, Tile, write_heat};

use super::common::{AdapterArgs, MemoryArgs, say, say_json};
use super::model;
use super::pictures::{Asked, Named, PictureArgs};

/// Images decoded and explained at a time.
const AT_ONCE: usize = 128;
/// What the names of pictures get at their end.
const SUFFIX: &str = "heat";

/// Draw where in a picture a network sees a class: Grad-CAM heat maps
///
/// Pictures are prepared as for `predict`, and the likeliest class of each, or the one that --class names,
/// is explained by Grad-CAM (Selvaraju et al., arXiv:1610.02391): each channel of the last pooled map counts by
/// the mean gradient of the class's logit, before softmax, and what speaks against the class is left out. The gradient
/// is computed by the kernels of training. The file shows the picture as the network gets it, and beside it
/// the same with its heat map.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  vgg-wgpu explain runs/vgg11-1 boot.jpg --out boot-heat.png\n  vgg-wgpu explain \
    runs/vgg11-1 boot.jpg --class sneaker\n\nThe map has the resolution of the last pooling, a side of \
    the input halved once for each block, and is enlarged."
)]
pub struct ExplainArgs {
    #[command(flatten)]
    pictures: PictureArgs,
    /// PNG file for one picture, or folder for files named after the pictures, such as boot-heat.png
    #[arg(long, value_name = "FILE|DIR", default_value = "explained")]
    out: PathBuf,
    /// Class to explain, by name or by index from 0 [default: the likeliest of each picture]
    #[arg(long, value_name = "NAME|INDEX")]
    class: Option<String>,
    /// Print JSON instead of lines, with the values of the maps from 0 to 1
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    adapter: AdapterArgs,
    #[command(flatten)]
    memory: MemoryArgs,
}

#[derive(Debug, Serialize)]
struct Report {
    file: PathBuf,
    class: String,
    index: usize,
    probability: f64,
    /// Rows of values from 0 to 1, which is the hottest place.
    heat: Vec<Vec<f32>>,
    out: PathBuf,
}

/// Explains.
pub fn run(args: &ExplainArgs) -> Result<()> {
    let asked = args.pictures.asked()?;
    let Asked { model, names, form, files } = &asked;
    let class = args.class.as_deref().map(|class| index_of(class, names)).transpose()?;
    let mut places = args.places(files)?;
    args.pictures.decoded(&asked, AT_ONCE, |batches| {
        let gpu = args.adapter.open()?;
        let network = model::explained(model, &gpu, &args.memory, files.len())?;
        let mut reports = Vec::new();
        for (files, split) in batches {
            let source = train::upload(&gpu, &split, ResizeFilter::Bilinear)?;
            let explanations = train::explain(&network, Arc::new(source), class)?;
            for ((i, file), explanation) in files.into_iter().enumerate().zip(&explanations) {
                let report = report(file, &mut places, explanation, names)?;
                let pixels = split.images.image(i).unwrap_or_default();
                let shape = (form.height, form.width, form.channels);
                let tile = Tile { shape, pixels, lines: report.lines() };
                draw(&tile, &explanation.heat, &report.out)?;
                match args.json {
                    true => reports.push(report),
                    false => say(report.line())?,
                }
            }
        }
        if args.json { say_json(&reports) } else { Ok(()) }
    })
}

fn report(
    file: PathBuf,
    places: &mut Places,
    explanation: &Explanation,
    names: &[String],
) -> Result<Report> {
    let index = explanation.class;
    let heat = explanation.heat.scaled();
    Ok(Report {
        out: places.next(&file)?,
        file,
        class: names[index].clone(),
        index,
        probability: model::log_softmax(&explanation.logits)[index].exp(),
        heat: heat.values.chunks(heat.width.max(1)).map(<[f32]>::to_vec).collect(),
    })
}

fn draw(tile: &Tile<'_>, heat: &HeatMap, png: &Path) -> Result<()> {
    if let Some(folder) = png.parent() {
        fs::create_dir_all(folder)
            .with_context(|| format!("cannot create the folder {}", folder.display()))?;
    }
    Ok(write_heat(tile, heat, png)?)
}

impl Report {
    fn line(&self) -> String {
        let Self { file, class, probability, out, .. } = self;
        let cold = self.heat.iter().flatten().all(|&value| value == 0.0);
        let nothing = if cold { " (nothing speaks for it)" } else { "" };
        let (file, out) = (file.display(), out.display());
        format!("{file}: {class} {probability:.4}{nothing} -> {out}")
    }

    /// What stands below the picture.
    fn lines(&self) -> Vec<String> {
        let name = self.file.file_name().unwrap_or(self.file.as_os_str()).to_string_lossy();
        let (rows, columns) = (self.heat.len(), self.heat.first().map_or(0, Vec::len));
        vec![
            format!("{}  {:.1} %", self.class, 100.0 * self.probability),
            format!("{name}: where it is seen, by Grad-CAM in {rows}x{columns} places"),
        ]
    }
}

/// Where the pictures' files go.
struct Places {
    out: PathBuf,
    /// True if `out` is the file itself.
    single: bool,
    /// The pictures, which no file may replace, ...
    pictures: HashSet<PathBuf>,
    /// ... and the files of those before.
    taken: HashSet<PathBuf>,
}

impl ExplainArgs {
    fn places(&self, files: &[Named]) -> Result<Places> {
        let out = &self.out;
        let single =
            !out.is_dir() && out.extension().is_some_and(|end| end.eq_ignore_ascii_case("png"));
        ensure!(
            !single || files.len() == 1,
            "{} is one file, but there are {} pictures; name a folder with --out",
            out.display(),
            files.len()
        );
        let pictures = files.iter().filter_map(|file| fs::canonicalize(&file.path).ok());
        let (pictures, taken) = (pictures.collect(), HashSet::new());
        let places = Places { out: out.clone(), single, pictures, taken };
        ensure!(
            !places.is_picture(out),
            "{} is the picture itself; name another file with --out",
            out.display()
        );
        Ok(places)
    }
}

impl Places {
    fn is_picture(&self, file: &Path) -> bool {
        fs::canonicalize(file).is_ok_and(|file| self.pictures.contains(&file))
    }

    /// The file of the next picture: in a folder no other picture's, and none of the pictures.
    fn next(&mut self, picture: &Path) -> Result<PathBuf> {
        if self.single {
            return Ok(self.out.clone());
        }
        let stem = match picture.as_os_str() == "-" {
            true => "stdin".into(),
            false => picture.file_stem().unwrap_or_default().to_string_lossy(),
        };
        let numbered = (2..).map(|number| self.out.join(format!("{stem}-{SUFFIX}-{number}.png")));
        let mut names = [self.out.join(format!("{stem}-{SUFFIX}.png"))].into_iter().chain(numbered);
        let free = |name: &PathBuf| !self.taken.contains(name) && !self.is_picture(name);
        let free = names.find(free).context("every name is taken")?;
        self.taken.insert(free.clone());
        Ok(free)
    }
}

/// The class of a name, or else of an index.
fn index_of(class: &str, names: &[String]) -> Result<usize> {
    let same = |name: &String| name == class;
    let alike = |name: &String| name.to_lowercase() == class.to_lowercase();
    let named = names.iter().position(same).or_else(|| names.iter().position(alike));
    if let Some(index) = named {
        return Ok(index);
    }
    let count = names.len();
    match class.parse::<usize>() {
        Ok(index) if index < count => return Ok(index),
        Ok(index) => bail!("the model has no class {index}: it tells {count} apart, from 0"),
        Err(_) => {}
    }
    let distance =
        |name: &&String| strsim::damerau_levenshtein(&name.to_lowercase(), &class.to_lowercase());
    let nearest = names.iter().min_by_key(distance).map_or("none", |name| name);
    bail!("the model has no class '{class}'; the nearest of its {count} is '{nearest}'")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_found_by_name_then_by_index() {
        let names = ["7", "Ankle boot", "T-shirt/top"].map(str::to_owned);
        let index = |class: &str| index_of(class, &names).map_err(|error| error.to_string());
        assert_eq!(index("7"), Ok(0));
        assert_eq!(index("ankle BOOT"), Ok(1));
        assert_eq!(index("2"), Ok(2));
        assert!(index("3").is_err_and(|e| e.contains("no class 3: it tells 3 apart, from 0")));
        assert!(
            index("ankleboot").is_err_and(|e| e.contains("the nearest of its 3 is 'Ankle boot'"))
        );
    }

    #[test]
    fn pictures_of_one_name_get_files_of_their_own() {
        let (out, pictures) = (PathBuf::from("out"), HashSet::new());
        let mut places = Places { out, single: false, pictures, taken: HashSet::new() };
        let mut next = |picture: &str| places.next(Path::new(picture)).unwrap();
        assert_eq!(next("a/boot.png"), Path::new("out/boot-heat.png"));
        assert_eq!(next("b/boot.jpg"), Path::new("out/boot-heat-2.png"));
        assert_eq!(next("boot-heat.png"), Path::new("out/boot-heat-heat.png"));
        assert_eq!(next("-"), Path::new("out/stdin-heat.png"));
    }
}
