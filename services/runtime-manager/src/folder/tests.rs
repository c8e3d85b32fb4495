use std::os::unix::fs::symlink;

use tempfile::TempDir;

use super::*;

fn names(folder: &ModelFolder) -> Vec<String> {
    let mut names: Vec<_> = folder.files().unwrap().into_iter().map(|f| f.name).collect();
    names.sort();
    names
}

fn folder() -> (TempDir, ModelFolder) {
    let dir = tempfile::tempdir().unwrap();
    let folder = ModelFolder::Configured(dir.path().join("models"));
    fs::create_dir(dir.path().join("models")).unwrap();
    (dir, folder)
}

#[test]
fn models_are_found_at_any_bounded_depth() {
    let (dir, folder) = folder();
    let deepest = dir.path().join("models/1/2/3/4/5/6/7/8");
    fs::create_dir_all(deepest.join("9")).unwrap();
    fs::create_dir(dir.path().join("models/dir.gguf")).unwrap();
    for file in
        ["a.gguf", "B.GGUF", "notes.txt", "gguf", "1/2/3/4/5/6/7/8/in.gguf", "1/2/3/4/5/6/7/8/9/out.gguf"]
    {
        fs::write(dir.path().join("models").join(file), "four").unwrap();
    }
    assert_eq!(names(&folder), ["1/2/3/4/5/6/7/8/in.gguf", "B.GGUF", "a.gguf"]);
    assert!(folder.files().unwrap().iter().all(|f| f.bytes == Ok(4)));
}

#[test]
fn links_are_followed_to_files_inside_alone() {
    let (dir, folder) = folder();
    let models = dir.path().join("models");
    fs::create_dir(models.join("blobs")).unwrap();
    fs::write(models.join("blobs/abc"), "seven b").unwrap();
    fs::write(dir.path().join("secret.gguf"), "secret").unwrap();
    symlink("blobs/abc", models.join("in.gguf")).unwrap();
    symlink("../secret.gguf", models.join("out.gguf")).unwrap();
    symlink("nowhere", models.join("broken.gguf")).unwrap();
    symlink("self.gguf", models.join("self.gguf")).unwrap();
    symlink("blobs", models.join("folder.gguf")).unwrap();
    symlink(".", models.join("circle")).unwrap();
    let mut files = folder.files().unwrap();
    files.sort_by(|a, b| a.name.cmp(&b.name));
    let found: Vec<_> = files.into_iter().map(|f| (f.name, f.bytes)).collect();
    let no = |name: &str, why: &str| (name.to_owned(), Err(why.to_owned()));
    let expected = [
        no("broken.gguf", "the link leads nowhere"),
        no("folder.gguf", "the link does not lead to a file"),
        ("in.gguf".to_owned(), Ok(7)),
        no("out.gguf", "the link leads out of the model folder"),
        no("self.gguf", "the link leads nowhere"),
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_folder_that_is_not_there_is_told_apart_from_none() {
    let (dir, _) = folder();
    let away = dir.path().join("away");
    assert!(matches!(ModelFolder::Default(away.clone()).files(), Err(FolderError::None)));
    assert!(matches!(ModelFolder::Configured(away).files(), Err(FolderError::Unreadable(_))));
    assert_eq!(names(&ModelFolder::Default(dir.path().join("models"))), [""; 0]);
}
