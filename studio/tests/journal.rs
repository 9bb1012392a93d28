//! A studio that is killed at any moment, or whose disk is full, loses no finished edit.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use unet_studio::labels::{Edit, Editor, Labels, Over};
use unet_studio::project::Project;

const SIZE: [u32; 2] = [400, 300];
const FOLDER: &str = "UNET_STUDIO_TEST_FOLDER";
const FIRST: &str = "UNET_STUDIO_TEST_FIRST";
const KILLS: u64 = 20;

/// What a studio does at its `n`-th turn; none: it undoes the last.
fn turn(n: u64) -> Option<Edit> {
    if n % 6 == 5 {
        return None;
    }
    let random = |salt: u64| (n + 1).wrapping_mul(6364136223846793005).wrapping_add(salt << 33).rotate_left(29);
    let at = |salt: u64| [(random(salt) % 4000) as f32 / 10.0, (random(salt + 7) % 3000) as f32 / 10.0];
    let (value, radius) = (n as u32 + 1, (random(3) % 150) as f32 / 10.0);
    let points = (0..1 + n % 5).map(at).collect();
    Some(Edit::Brush { points, radius, value, over: Over::Everything, class: Some(1 + (n % 3) as u8) })
}

/// The labels after the first `turns`, by another way than the journal's.
struct Independent {
    editor: Editor,
    turns: u64,
}

impl Independent {
    fn new() -> Self {
        Self { editor: Editor::new(Labels::new(SIZE[0], SIZE[1]).unwrap()), turns: 0 }
    }

    fn after(&mut self, turns: u64) -> &Labels {
        while self.turns < turns {
            match turn(self.turns) {
                Some(edit) => assert!(!self.editor.apply(&edit).unwrap().is_empty()),
                None => assert!(self.editor.undo().is_some()),
            }
            self.turns += 1;
        }
        self.editor.labels()
    }
}

fn new_project(folder: &Path) -> Project {
    let mut project = Project::create(folder).unwrap();
    let pixels = vec![5; (SIZE[0] * SIZE[1]) as usize];
    let header = format!("P5 {} {} 255\n", SIZE[0], SIZE[1]);
    fs::write(folder.join("images/a.pgm"), [header.as_bytes(), &pixels].concat()).unwrap();
    project.refresh().unwrap();
    project
}

fn child(test: &str, folder: &Path, first: u64) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture", "--ignored"]).env(FOLDER, folder).env(FIRST, first.to_string());
    command
}

fn told(line: &str) -> Option<u64> {
    line.split_once("done ")?.1.trim().parse().ok()
}

/// The studio that is killed. Edits, undoes, and saves on another thread.
#[test]
#[ignore = "the child of the test below"]
fn child_edits_until_it_is_killed() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let first: u64 = std::env::var(FIRST).unwrap().parse().unwrap();
    let project = Project::open(folder).unwrap();
    let mut open = project.open_labels("a", SIZE).unwrap();
    for n in first.. {
        match turn(n) {
            Some(edit) if n % 2 == 0 => drop(open.apply(&edit).unwrap()),
            Some(Edit::Brush { points, radius, value, over, class }) => {
                open.begin(Edit::Brush { points: points[..1].to_vec(), radius, value, over, class }).unwrap();
                points[1..].iter().for_each(|&p| drop(open.extend(p)));
                open.finish().unwrap();
            }
            _ => drop(open.undo().unwrap()),
        }
        assert_eq!(open.trouble(), None);
        println!("done {n}");
        // Never between an edit and its undo, which the next process could not do.
        if n % 6 == 2
            && let Some(job) = open.begin_save()
        {
            std::thread::spawn(|| job.run().unwrap());
        }
    }
}

#[test]
fn a_killed_studio_loses_at_most_the_stroke_under_way() {
    let dir = tempfile::tempdir().unwrap();
    drop(new_project(dir.path()));
    let (mut independent, mut first, mut saved, mut kill) = (Independent::new(), 0, 0, 0);
    // On a busy machine no file may be whole by then, so some more live longer.
    while kill < KILLS || (saved == 0 && kill < 3 * KILLS) {
        let mut child: Child = child("child_edits_until_it_is_killed", dir.path(), first)
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (send, receive) = std::sync::mpsc::channel();
        let reader = std::thread::spawn(move || {
            let mut last = None;
            for n in lines.map_while(Result::ok).filter_map(|line| told(&line)) {
                last = Some(n);
                let _ = send.send(());
            }
            last
        });
        receive.recv_timeout(Duration::from_secs(60)).expect("the child edits");
        let random = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64 / 1000;
        std::thread::sleep(Duration::from_micros(random % if kill < KILLS { 60_000 } else { 1_000_000 }));
        child.kill().unwrap();
        assert!(!child.wait().unwrap().success());
        let finished = reader.join().unwrap().unwrap() + 1;
        assert!(finished > first);
        let project = Project::open(dir.path()).unwrap();
        let open = project.open_labels("a", SIZE).unwrap();
        assert!(open.notes().iter().all(|n| n.contains("is not complete")), "{:?}", open.notes());
        let found = open.labels();
        // The last edit may have been finished and not told yet.
        first = if independent.after(finished) == found { finished } else { finished + 1 };
        assert!(independent.after(first) == found, "kill {kill} after {finished} turns");
        let rows = |labels: &Labels| labels.map().to_rows(0..SIZE[1]);
        assert_eq!(rows(found), rows(independent.after(first)));
        saved += u64::from(dir.path().join("labels/a.tif").is_file());
        kill += 1;
    }
    assert!(first > 3 * KILLS && saved > 0, "{first} turns, {saved} saves");
}

/// The studio whose files cannot grow.
#[test]
#[ignore = "the child of the test below"]
fn child_edits_on_a_full_disk() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let project = Project::open(folder).unwrap();
    let mut open = project.open_labels("a", SIZE).unwrap();
    let mut n = 0;
    while open.trouble().is_none() {
        assert!(n < 10_000, "the disk is never full");
        if let Some(edit) = turn(n) {
            open.apply(&edit).unwrap();
        }
        if open.trouble().is_none() {
            println!("done {n}");
        }
        n += 1;
    }
    assert!(open.trouble().unwrap().starts_with("The last edits are not on the disk: "));
    open.apply(&turn(n + 1 + n % 2).unwrap_or_else(|| turn(0).unwrap())).unwrap();
    open.save().unwrap_err();
    println!("refused");
    std::io::stdout().flush().unwrap();
}

#[cfg(unix)]
#[test]
fn a_full_disk_keeps_what_was_there() {
    let dir = tempfile::tempdir().unwrap();
    let project = new_project(dir.path());
    let mut open = project.open_labels("a", SIZE).unwrap();
    // Noise, so that the label file is larger than the limit below.
    let noise = (0..SIZE[0] * SIZE[1]).map(|i| (i.wrapping_mul(2654435761) >> 20) % 3000 + 10_000).collect();
    let paste = Edit::Paste { at: [0; 2], size: SIZE, ids: noise, classes: vec![], mode: Default::default() };
    open.apply(&paste).unwrap();
    open.save().unwrap();
    let mut editor = Editor::new(open.labels().clone());
    drop((open, project));
    let file = fs::read(dir.path().join("labels/a.tif")).unwrap();
    assert!(file.len() > 1 << 16);
    let inner = child("child_edits_on_a_full_disk", dir.path(), 0);
    let words: Vec<_> = inner.get_args().map(|a| a.to_os_string()).collect();
    // Files may have 8 blocks, of 512 or 1024 bytes; writing more is an error, not the end.
    let output = Command::new("sh")
        .args(["-c", "ulimit -f 8; trap '' XFSZ; exec \"$@\"", "sh"])
        .arg(inner.get_program())
        .args(words)
        .env(FOLDER, dir.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && text.contains("refused"), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(fs::read(dir.path().join("labels/a.tif")).unwrap(), file);
    let written = text.lines().filter_map(told).max().expect("some edits fit") + 1;
    (0..written).filter_map(turn).for_each(|edit| drop(editor.apply(&edit).unwrap()));
    let project = Project::open(dir.path()).unwrap();
    let mut open = project.open_labels("a", SIZE).unwrap();
    assert_eq!(open.notes(), [""; 0]);
    assert!(open.labels() == editor.labels());
    open.save().unwrap();
}
