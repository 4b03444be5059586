// An image as it lies in memory, and where a model's pixels came from.

import CEdgeskin

/// One plane of an image: memory of the caller's, alive and unchanged while it is used.
public struct Plane {
  public var bytes: UnsafeRawBufferPointer
  /// Bytes from row to row; nil where rows lie side by side.
  public var stride: Int?

  public init(_ bytes: UnsafeRawBufferPointer, stride: Int? = nil) {
    (self.bytes, self.stride) = (bytes, stride)
  }
}

public struct Image {
  public var format: PixelFormat
  public var width: Int
  public var height: Int
  /// One plane; two for nv12 and nv21, three for i420. None is enough for `place`.
  public var planes: [Plane]
  /// EXIF orientation, 1 to 8: how to turn it upright.
  public var orientation = 1
  /// Of the 4:2:0 formats.
  public var matrix = ColorMatrix.bt601
  public var range = ColorRange.video

  public init(_ format: PixelFormat, width: Int, height: Int, planes: [Plane] = [], orientation: Int = 1) {
    (self.format, self.width, self.height) = (format, width, height)
    (self.planes, self.orientation) = (planes, orientation)
  }

  func c() throws -> es_image {
    var image = es_image()
    try check { es_image_init(format.code, Int32(size: width), Int32(size: height), &image, $0) }
    image.orientation = Int32(size: orientation)
    (image.matrix, image.range) = (matrix.code, range.code)
    set(0, &image.planes.0, &image.strides.0, &image.bytes.0)
    set(1, &image.planes.1, &image.strides.1, &image.bytes.1)
    set(2, &image.planes.2, &image.strides.2, &image.bytes.2)
    return image
  }

  private func set(_ i: Int, _ first: inout UnsafePointer<UInt8>?, _ stride: inout Int, _ bytes: inout Int) {
    guard i < planes.count else { return }
    first = planes[i].bytes.bindMemory(to: UInt8.self).baseAddress
    stride = planes[i].stride ?? stride
    bytes = planes[i].bytes.count
  }
}

/// Where an output's pixels came from: es_placement of edgeskin.h.
public struct Placement: Equatable, Sendable {
  public let imageWidth, imageHeight, orientation: Int
  /// Left, top, right, bottom of the upright image that was resized to `resizedWidth` x
  /// `resizedHeight`; output pixel (x, y) shows its pixel (x + left, y + top).
  public let crop: [Float]
  public let resizedWidth, resizedHeight, left, top, width, height: Int

  init(_ c: es_placement) {
    imageWidth = Int(c.image_width)
    imageHeight = Int(c.image_height)
    orientation = Int(c.orientation)
    crop = [c.crop.0, c.crop.1, c.crop.2, c.crop.3]
    resizedWidth = Int(c.resized_width)
    resizedHeight = Int(c.resized_height)
    left = Int(c.left)
    top = Int(c.top)
    width = Int(c.width)
    height = Int(c.height)
  }

  func c() -> es_placement {
    es_placement(
      image_width: Int32(size: imageWidth), image_height: Int32(size: imageHeight),
      orientation: Int32(size: orientation), crop: (crop[0], crop[1], crop[2], crop[3]),
      resized_width: Int32(size: resizedWidth), resized_height: Int32(size: resizedHeight),
      left: Int32(size: left), top: Int32(size: top), width: Int32(size: width), height: Int32(size: height))
  }
}
