// Segmentation logits to a mask of the image, its components, and crops worth classifying.

import CEdgeskin

/// One byte a pixel, rows side by side.
public struct Mask: Sendable {
  public var pixels: [UInt8]
  public var width: Int
  public var height: Int

  public init(_ pixels: [UInt8], width: Int, height: Int) {
    (self.pixels, self.width, self.height) = (pixels, width, height)
  }

  func withC<R>(_ body: (inout es_mask) throws -> R) rethrows -> R {
    try pixels.withUnsafeBufferPointer { buffer in
      var mask = es_mask(
        pixels: buffer.baseAddress, stride: max(0, width), bytes: buffer.count, width: Int32(size: width),
        height: Int32(size: height))
      return try body(&mask)
    }
  }
}

/// The pixels that a model is to see, by the mask of another: es_selection of edgeskin.h.
public struct Selection: Sendable {
  /// Of the image as stored, as `segment` gives it.
  public var mask: Mask
  /// Values of the mask whose pixels stay.
  public var keep: Set<UInt8>
  /// Red, green and blue of all other pixels.
  public var fill: (UInt8, UInt8, UInt8)

  public init(_ mask: Mask, keep: Set<UInt8> = [1], fill: (UInt8, UInt8, UInt8) = (0, 0, 0)) {
    (self.mask, self.keep, self.fill) = (mask, keep, fill)
  }

  func withC<R>(_ body: (inout es_selection) throws -> R) rethrows -> R {
    try mask.withC { mask in
      var c = es_selection()
      (c.mask, c.fill) = (mask, fill)
      withUnsafeMutableBytes(of: &c.keep) { table in
        for value in keep { table[Int(value)] = 1 }
      }
      return try body(&c)
    }
  }
}

public struct Segmented: Sendable {
  /// A class index a pixel of the image as stored; 255 where the model did not see it.
  public let mask: Mask
  /// Pixels of each class.
  public let counts: [Int64]
}

/// Logits of `classes` channels, `width` x `height`, to classes of the image's own pixels:
/// `placement` is undone.
public func segment(
  _ logits: Tensor, classes: Int, width: Int, height: Int, layout: Layout = .nhwc, placement: Placement,
  workspace: Workspace = Workspace()
) throws -> Segmented {
  var segmentation = es_segmentation(
    logits: logits.c(), classes: Int32(size: classes), width: Int32(size: width), height: Int32(size: height),
    layout: layout.code)
  var placement = placement.c()
  let scratch = try workspace.reserve { es_segment_workspace(&segmentation, &placement, $0, $1) }
  let (columns, rows) = (Int(placement.image_width), Int(placement.image_height))
  var pixels = [UInt8](repeating: 0, count: columns * rows)
  var counts = [Int64](repeating: 0, count: max(classes, 2))
  try check {
    es_segment(
      &segmentation, &placement, &pixels, columns, columns * rows, &counts, Int32(counts.count),
      scratch.baseAddress, scratch.count, $0)
  }
  return Segmented(mask: Mask(pixels, width: columns, height: rows), counts: counts)
}

/// A rectangle of a mask.
public struct Box: Equatable, Sendable {
  public let left, top, width, height: Int
  /// Pixels of the component; of lesion for `findCrops`.
  public let area: Int64
  /// Centroid of those pixels; of the box for `findCrops`.
  public let x, y: Double

  fileprivate init(_ c: es_box) {
    (left, top, width, height) = (Int(c.left), Int(c.top), Int(c.width), Int(c.height))
    (area, x, y) = (c.area, c.x, c.y)
  }
}

/// Connected components of the pixels equal to `value`, largest first, and how many there are in
/// all: at most `capacity` of them are in `boxes`.
public func components(
  _ mask: Mask, value: Int = 1, connectivity: Int = 8, minArea: Int64 = 1, capacity: Int = 256,
  workspace: Workspace = Workspace()
) throws -> (boxes: [Box], count: Int) {
  let scratch = try workspace.reserve { es_components_workspace(Int32(size: mask.width), $0, $1) }
  let capacity = min(capacity, mask.pixels.count)
  return try boxes(capacity) { boxes, count, error in
    mask.withC {
      es_components(
        &$0, Int32(size: value), Int32(size: connectivity), minArea, boxes, Int32(size: capacity), count,
        scratch.baseAddress, scratch.count, error)
    }
  }
}

/// es_crop_rule of edgeskin.h; the shares are the published rule's.
public struct CropRule: Sendable {
  public var side, step, skinValue, lesionValue: Int
  public var minSkin = 0.8, minLesion = 0.1, maxOverlap = 0.5

  public init(side: Int, step: Int, skinValue: Int = 1, lesionValue: Int = 1) {
    (self.side, self.step, self.skinValue, self.lesionValue) = (side, step, skinValue, lesionValue)
  }
}

/// Squares with enough skin and enough lesion, best first, and how many.
public func findCrops(
  skin: Mask, lesion: Mask, rule: CropRule, capacity: Int = 16, workspace: Workspace = Workspace()
) throws -> (boxes: [Box], count: Int) {
  var c = es_crop_rule(
    side: Int32(size: rule.side), step: Int32(size: rule.step), skin_value: Int32(size: rule.skinValue),
    lesion_value: Int32(size: rule.lesionValue), min_skin: rule.minSkin, min_lesion: rule.minLesion,
    max_overlap: rule.maxOverlap)
  let scratch = try workspace.reserve { es_find_crops_workspace(Int32(size: skin.width), $0, $1) }
  let capacity = min(capacity, skin.pixels.count)
  return try boxes(capacity) { boxes, count, error in
    skin.withC { skin in
      lesion.withC { lesion in
        es_find_crops(
          &skin, &lesion, &c, boxes, Int32(size: capacity), count, scratch.baseAddress, scratch.count, error)
      }
    }
  }
}

private func boxes(
  _ capacity: Int,
  _ fill: (UnsafeMutablePointer<es_box>?, UnsafeMutablePointer<Int32>, UnsafeMutablePointer<es_error>) -> es_status
) throws -> (boxes: [Box], count: Int) {
  var (found, count) = ([es_box](repeating: es_box(), count: max(0, capacity)), Int32(0))
  try found.withUnsafeMutableBufferPointer { buffer in
    try check { fill(buffer.baseAddress, &count, $0) }
  }
  return (found.prefix(Int(count)).map(Box.init), Int(count))
}
