// What a model's heads answer, read from its decoded outputs.

/// A label of a model: one case each, in the order of the model's outputs.
public protocol ModelLabel: CaseIterable, Hashable, Sendable {
  /// The label as the model's makers wrote it.
  var text: String { get }
}

/// One of several classes.
public struct Classified<Label: ModelLabel>: Sendable {
  public let label: Label
  public let probability: Float
  public let probabilities: [Label: Float]

  public init(_ outputs: Outputs, _ name: String) throws {
    let labels = Array(Label.allCases)
    let found = try outputs.values(name, labels.count).withTensor {
      try classify($0, classes: labels.count, activation: .none)
    }
    (label, probability) = (labels[found.top[0].index], found.top[0].score)
    probabilities = Dictionary(uniqueKeysWithValues: zip(labels, found.scores))
  }
}

/// Labels that hold each by itself: those at or above one half.
public struct Labelled<Label: ModelLabel>: Sendable {
  public let labels: [Label]
  public let probabilities: [Label: Float]

  public init(_ outputs: Outputs, _ name: String) throws {
    let all = Array(Label.allCases)
    let found = try outputs.values(name, all.count).withTensor {
      try classify($0, classes: all.count, activation: .none)
    }
    labels = zip(all, found.scores).filter { $0.1 >= 0.5 }.map { $0.0 }
    probabilities = Dictionary(uniqueKeysWithValues: zip(all, found.scores))
  }
}

/// The values that a distribution is over: first, first + step, ...
public struct Support: Sendable {
  public let first, step: Double
  public let count: Int

  public init(first: Double, step: Double, count: Int) {
    (self.first, self.step, self.count) = (first, step, count)
  }
}

/// A quantity; at least 80 % of its probability lie in `interval`.
public struct Measured: Sendable {
  public let value: Double
  public let unit: String
  public let interval: ClosedRange<Double>

  public init(_ outputs: Outputs, _ name: String, over support: Support, unit: String) throws {
    let found = try quantity(outputs, name, support)
    (value, self.unit) = (Double(try outputs.values(name, 1)[0]), unit)
    interval = found.low...found.high
  }
}

/// A quantity with the grade that holds most of its probability.
public struct Graded<Grade: ModelLabel>: Sendable {
  public let value: Double
  public let unit: String
  public let interval: ClosedRange<Double>
  public let grade: Grade

  /// `upper` are the largest values of all grades but the last.
  public init(_ outputs: Outputs, _ name: String, over support: Support, unit: String, upper: [Double]) throws {
    let found = try quantity(outputs, name, support, upper)
    (value, self.unit) = (Double(try outputs.values(name, 1)[0]), unit)
    (interval, grade) = (found.low...found.high, Array(Grade.allCases)[found.grade])
  }
}

private func quantity(_ outputs: Outputs, _ name: String, _ support: Support, _ upper: [Double] = []) throws -> Quantity
{
  try outputs.values("\(name)_distribution", support.count).withTensor {
    try measure(
      $0, size: support.count, activation: .none, first: support.first, step: support.step, share: 0.8, upper: upper)
  }
}

/// A number with its unit.
public struct Estimate: Sendable {
  public let value: Double
  public let unit: String

  public init(_ outputs: Outputs, _ name: String, unit: String) throws {
    (value, self.unit) = (Double(try outputs.values(name, 1)[0]), unit)
  }
}

/// Columns and rows of a segmentation's output.
public struct Grid: Equatable, Sendable {
  public let width, height: Int

  public init(width: Int, height: Int) { (self.width, self.height) = (width, height) }
}

/// One label for each pixel.
public struct LabelMap<Label: ModelLabel>: Sendable {
  /// Of the image's own pixels, as stored: the label's place in `Label.allCases`, 255 where the
  /// model did not see the pixel.
  public let mask: Mask
  /// The share of what the model saw, 0 to 1.
  public let areas: [Label: Double]

  public init(_ outputs: Outputs, _ name: String, grid: Grid, placement: Placement) throws {
    mask = try classMask(outputs, name, classes: Label.allCases.count, grid: grid, placement: placement)
    let labels = Array(Label.allCases)
    let values = try outputs.values(name, grid.width * grid.height * labels.count)
    var counts = [Int](repeating: 0, count: labels.count)
    for start in stride(from: 0, to: values.count, by: labels.count) {
      var best = start
      for i in start..<start + labels.count where values[i] > values[best] { best = i }
      counts[best - start] += 1
    }
    areas = shares(labels, counts, of: grid)
  }

  /// The label of a pixel of the image as stored; nil where the model did not see it.
  public func label(x: Int, y: Int) -> Label? {
    let value = Int(mask.pixels[y * mask.width + x])
    return value < Label.allCases.count ? Array(Label.allCases)[value] : nil
  }
}

/// Labels that may overlap, each with its share of what the model saw, at or above one half.
public struct Covered<Label: ModelLabel>: Sendable {
  public let areas: [Label: Double]
  /// Rows of `grid`, a value for each label side by side.
  public let probabilities: [Float]
  public let grid: Grid

  public init(_ outputs: Outputs, _ name: String, grid: Grid) throws {
    let labels = Array(Label.allCases)
    probabilities = try outputs.values(name, grid.width * grid.height * labels.count)
    self.grid = grid
    var counts = [Int](repeating: 0, count: labels.count)
    for (i, value) in probabilities.enumerated() where value >= 0.5 { counts[i % labels.count] += 1 }
    areas = shares(labels, counts, of: grid)
  }
}

private func shares<Label: ModelLabel>(_ labels: [Label], _ counts: [Int], of grid: Grid) -> [Label: Double] {
  Dictionary(uniqueKeysWithValues: zip(labels, counts.map { Double($0) / Double(grid.width * grid.height) }))
}

/// A vector that stands for the image.
public struct Embedding: Sendable {
  public let values: [Float]

  public init(_ outputs: Outputs, _ name: String, size: Int) throws { values = try outputs.values(name, size) }

  /// Euclidean.
  public var norm: Double { values.reduce(0) { $0 + Double($1) * Double($1) }.squareRoot() }
}

/// Numbers of any shape, the last axis first to change.
public struct Values: Sendable {
  public let values: [Float]
  public let shape: [Int]
  public let unit: String

  public init(_ outputs: Outputs, _ name: String, shape: [Int], unit: String) throws {
    values = try outputs.values(name, shape.reduce(1, *))
    (self.shape, self.unit) = (shape, unit)
  }
}

/// The class of each pixel of the image as stored, from probabilities side by side; 255 where the
/// model did not see it.
func classMask(_ outputs: Outputs, _ name: String, classes: Int, grid: Grid, placement: Placement) throws -> Mask {
  let values = try outputs.values(name, grid.width * grid.height * classes)
  var mask = try values.withTensor {
    try segment($0, classes: classes, width: grid.width, height: grid.height, placement: placement)
  }.mask
  if classes == 1 {  // for C one channel is a yes or no; here it is the only class
    mask.pixels = mask.pixels.map { $0 == 1 ? 0 : $0 }
  }
  return mask
}
