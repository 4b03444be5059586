// Two networks in a row: what the second one sees of the first one's answer.

/// Pixels that the first network gives one of some labels.
public struct Region: Sendable {
  /// The output, its grid and how many classes it has.
  public let output: String
  public let grid: Grid
  public let classes: Int
  /// Places of the labels among the classes.
  public let labels: Set<UInt8>

  public init(_ output: String, grid: Grid, classes: Int, labels: Set<UInt8>) {
    (self.output, self.grid, self.classes, self.labels) = (output, grid, classes, labels)
  }

  func mask(_ outputs: Outputs, _ placement: Placement) throws -> Mask {
    try classMask(outputs, output, classes: classes, grid: grid, placement: placement)
  }
}

/// The second network sees the whole image, with pixels outside a region painted over.
public struct MaskJoin: Sendable {
  public let keep: Region
  /// Red, green and blue of all else.
  public let fill: (UInt8, UInt8, UInt8)
  /// Of the image's pixels, that must be kept for an answer.
  public let minShare: Double

  public init(keep: Region, fill: (UInt8, UInt8, UInt8), minShare: Double) {
    (self.keep, self.fill, self.minShare) = (keep, fill, minShare)
  }

  /// What the second network sees, nil where that is too little, and the share of the image's pixels
  /// that are kept.
  public func select(_ outputs: Outputs, placement: Placement) throws -> (selection: Selection?, keptShare: Double) {
    let mask = try keep.mask(outputs, placement)
    let kept = mask.pixels.reduce(0) { $0 + (keep.labels.contains($1) ? 1 : 0) }
    let share = Double(kept) / Double(mask.pixels.count)
    guard kept > 0, share >= minShare else { return (nil, share) }
    return (Selection(mask, keep: keep.labels, fill: fill), share)
  }
}

/// A square of the upright image, in its pixels.
public struct Crop: Equatable, Sendable {
  public let left, top, side: Int
  /// Shares of the square's pixels; skin counts lesion, too.
  public let skinShare, lesionShare: Double

  public init(left: Int, top: Int, side: Int, skinShare: Double, lesionShare: Double) {
    (self.left, self.top, self.side) = (left, top, side)
    (self.skinShare, self.lesionShare) = (skinShare, lesionShare)
  }
}

/// The second network sees squares that hold enough skin and enough lesion, each by itself.
public struct CropJoin: Sendable {
  public let skin, lesion: Region
  /// Sides of the squares in pixels, and as shares of the image's shorter edge; the first that finds
  /// some is taken.
  public let sides: [Int]
  public let sideShares: [Double]
  /// From one square to the next, as a share of the side.
  public let stepShare: Double
  /// Of a square's pixels: what skin and lesion must exceed, and what two squares may share.
  public let minSkin, minLesion, maxOverlap: Double
  public let most: Int

  public init(
    skin: Region, lesion: Region, sides: [Int] = [], sideShares: [Double] = [], stepShare: Double, minSkin: Double,
    minLesion: Double, maxOverlap: Double, most: Int
  ) {
    (self.skin, self.lesion, self.sides, self.sideShares) = (skin, lesion, sides, sideShares)
    (self.stepShare, self.minSkin, self.minLesion) = (stepShare, minSkin, minLesion)
    (self.maxOverlap, self.most) = (maxOverlap, most)
  }

  /// The squares, most lesion first. `placement` is that of the upright picture.
  public func findCrops(_ outputs: Outputs, placement: Placement) throws -> [Crop] {
    let skinMask = try skin.mask(outputs, placement).marked(skin.labels)
    let lesionMask = try lesion.mask(outputs, placement).marked(lesion.labels)
    let shorter = min(skinMask.width, skinMask.height)
    for side in (sides + sideShares.map { rounded(Double(shorter) * $0) }).map({ min(max(1, $0), shorter) }) {
      var rule = CropRule(side: side, step: max(1, rounded(Double(side) * stepShare)))
      (rule.minSkin, rule.minLesion, rule.maxOverlap) = (minSkin, minLesion, maxOverlap)
      let boxes = try Edgeskin.findCrops(skin: skinMask, lesion: lesionMask, rule: rule, capacity: most).boxes
      if !boxes.isEmpty { return boxes.map { crop($0, skinMask, lesionMask) } }
    }
    return []
  }

  private func crop(_ box: Box, _ skin: Mask, _ lesion: Mask) -> Crop {
    var count = 0
    for y in box.top..<box.top + box.height {
      for i in y * skin.width + box.left..<y * skin.width + box.left + box.width
      where skin.pixels[i] == 1 || lesion.pixels[i] == 1 { count += 1 }
    }
    let pixels = Double(box.width * box.height)
    return Crop(
      left: box.left, top: box.top, side: box.width, skinShare: Double(count) / pixels,
      lesionShare: Double(box.area) / pixels)
  }

  private func rounded(_ x: Double) -> Int { Int(x + 0.5) }
}

extension Mask {
  /// 1 where the value is one of `values`, else 0.
  fileprivate func marked(_ values: Set<UInt8>) -> Mask {
    Mask(pixels.map { values.contains($0) ? 1 : 0 }, width: width, height: height)
  }
}

/// An image turned upright: RGB, rows side by side.
public struct UprightPicture: Sendable {
  public let pixels: [UInt8]
  public let width, height: Int

  public init(_ image: Image) throws {
    (width, height) = image.orientation > 4 ? (image.height, image.width) : (image.width, image.height)
    pixels = try Preprocessor(recipe: Recipe(width: width, height: height)).run(image)
  }

  public func withImage<R>(_ body: (Image) throws -> R) rethrows -> R {
    try pixels.withUnsafeBytes { try body(Image(.rgb, width: width, height: height, planes: [Plane($0)])) }
  }

  /// The square by itself: the network sees nothing around it.
  public func withImage<R>(of crop: Crop, _ body: (Image) throws -> R) rethrows -> R {
    try pixels.withUnsafeBytes {
      let first = (crop.top * width + crop.left) * 3
      let plane = Plane(UnsafeRawBufferPointer(rebasing: $0[first...]), stride: width * 3)
      return try body(Image(.rgb, width: crop.side, height: crop.side, planes: [plane]))
    }
  }
}

/// The mean of several runs' outputs, value by value.
public func average(_ runs: [Outputs]) throws -> Outputs {
  guard let first = runs.first, runs.count > 1 else { return runs.first ?? [:] }
  var mean: Outputs = [:]
  for (name, values) in first {
    var sums = [Double](repeating: 0, count: values.count)
    for run in runs {
      for (i, value) in try run.values(name, values.count).enumerated() { sums[i] += Double(value) }
    }
    mean[name] = sums.map { Float($0 / Double(runs.count)) }
  }
  return mean
}
