// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "thalweg/lib/data/dataset.h"

namespace thalweg {

/// The tensor in an IDX file, plain or gzipped (the format of MNIST, as Y. LeCun's page describes it). Elements: u8;
/// i8, i16 and i32 as i32; f32; f64. Throws RunError with the byte offset for anything wrong in it; the file must end
/// where its sizes say.
THALWEG_API Tensor read_idx(const std::string& path);
/// Images u8[N,…] (magic 2051) and labels u8[N] (magic 2049) from IDX files: inputs f32[N,H,W,1] in [0, 1], labels
/// i32[N]. Throws RunError if the files are swapped, differ in length, or a label is not below `classes`.
THALWEG_API Dataset read_idx_images(const std::string& images, const std::string& labels, int classes = 10);
/// MNIST or a set of the same form (Fashion-MNIST, KMNIST) from the four files of a folder under their usual names,
/// plain or gzipped: f32[N,28,28,1] in [0, 1] and classes 0 to 9.
THALWEG_API TrainTest mnist(const std::string& folder);

/// The 1,797 handwritten digits of 8x8 pixels that the library carries in itself: inputs f32[1797,8,8,1] in [0, 1],
/// classes 0 to 9. From the UCI Machine Learning Repository, "Optical Recognition of Handwritten Digits", E. Alpaydin
/// and C. Kaynak (1998), test part, CC BY 4.0; changed in form only (a gzipped CSV table).
THALWEG_API Dataset digits();

/// A CIFAR set (A. Krizhevsky: Learning multiple layers of features from tiny images, 2009) from the files of its
/// binary version in a folder, plain or gzipped: inputs f32[N,32,32,3] in [0, 1], labels i32[N]. Throws RunError for a
/// size that is no whole number of records, and for a label out of range.
/// Ten classes: `data_batch_1.bin` to `data_batch_5.bin`, and `test_batch.bin`.
THALWEG_API TrainTest cifar10(const std::string& folder);
/// `train.bin` and `test.bin`; labels are the 100 fine classes, or the 20 coarse ones that they fall into, named by
/// `fine_label_names.txt` or `coarse_label_names.txt` if that is there.
THALWEG_API TrainTest cifar100(const std::string& folder, bool coarse = false);

/// A picture as f32[H,W,C] in [0, 1]: PNG (gray, RGB or palette, of any depth; transparency is left out; not
/// interlaced), or binary PGM and PPM (P5, P6). By its content, not its name. Everything in the file is checked,
/// checksums too, and sizes before memory is asked for. Throws RunError with the path and the byte.
THALWEG_API Tensor read_image(const std::string& path);
/// Pictures sorted into a folder for each class, `cats/1.png`, `dogs/2.ppm`: inputs f32[N,H,W,C], labels i32[N];
/// classes and files in the order of their names. Pictures are files that end in .png, .pgm or .ppm; all must be of one
/// size and as many channels. Throws RunError naming the first that is not, a class without pictures, a folder without
/// classes.
THALWEG_API Dataset image_folder(const std::string& path);

/// How a table is to be read.
struct CsvOptions {
  /// The label's column: a name from the header, or a position (0 is the first, -1 the last).
  std::string label = "-1";
  /// Whether the first line names the columns; by default it does if none of its fields is a number.
  std::optional<bool> header = {};
  /// Labels are classes (whole numbers or words). False: they are real targets, f32[N,1].
  bool classes = true;
  /// The classes in their order, for a file that may lack some; by default all that occur, sorted (by value if all
  /// are whole numbers, else as text).
  std::vector<std::string> class_names = {};
  char separator = ',';
  /// Whether "nan" and "inf" are numbers here.
  bool allow_nonfinite = false;
};
/// A table of numbers with a label column, plain or gzipped: inputs f32[N, columns - 1], labels i32[N] in [0, K).
/// Quoted fields, CRLF and a UTF-8 byte order mark are understood; numbers are read the same in every locale.
/// Throws RunError `path:line:column: …` for anything else.
THALWEG_API Dataset csv(const std::string& path, const CsvOptions& options = {});
/// A table as scikit-learn ships its own (iris.csv): the first line holds the number of rows, the number of features
/// and the class names; the label is the last column. The counts are checked.
THALWEG_API Dataset sklearn_csv(const std::string& path);

}  // namespace thalweg
