// Apple's pixels: camera frames and pictures.

#if canImport(CoreVideo)
  import CoreVideo

  extension Preprocessor {
    /// A camera frame, read in place: 420v, 420f, y420, f420, BGRA, RGBA, 24-bit or 8-bit grey.
    public func run<T: Element>(
      _ frame: CVPixelBuffer, orientation: Int = 1, selection: Selection? = nil, as: T.Type = T.self
    ) throws -> [T] {
      try withImage(of: frame, orientation: orientation) { try run($0, selection: selection) }
    }
  }

  /// The frame as an image, while `body` runs.
  public func withImage<R>(of frame: CVPixelBuffer, orientation: Int = 1, _ body: (Image) throws -> R) throws -> R {
    let type = CVPixelBufferGetPixelFormatType(frame)
    guard let (format, range) = formats[type] else {
      throw EdgeskinError(status: "ES_BAD_ENUM", message: "pixel buffers of type \(type) are not known here")
    }
    guard CVPixelBufferLockBaseAddress(frame, .readOnly) == kCVReturnSuccess else {
      throw EdgeskinError(status: "ES_NULL_POINTER", message: "the pixel buffer cannot be locked")
    }
    defer { CVPixelBufferUnlockBaseAddress(frame, .readOnly) }
    let (width, height) = (CVPixelBufferGetWidth(frame), CVPixelBufferGetHeight(frame))
    var image = Image(format, width: width, height: height, planes: planes(of: frame), orientation: orientation)
    image.range = range
    image.matrix = isBT709(frame) ? .bt709 : .bt601
    return try body(image)
  }

  private let formats: [OSType: (PixelFormat, ColorRange)] = [
    kCVPixelFormatType_420YpCbCr8BiPlanarVideoRange: (.nv12, .video),
    kCVPixelFormatType_420YpCbCr8BiPlanarFullRange: (.nv12, .full),
    kCVPixelFormatType_420YpCbCr8Planar: (.i420, .video),
    kCVPixelFormatType_420YpCbCr8PlanarFullRange: (.i420, .full),
    kCVPixelFormatType_32BGRA: (.bgra, .full),
    kCVPixelFormatType_32RGBA: (.rgba, .full),
    kCVPixelFormatType_24RGB: (.rgb, .full),
    kCVPixelFormatType_24BGR: (.bgr, .full),
    kCVPixelFormatType_OneComponent8: (.grey, .full),
  ]

  private func planes(of frame: CVPixelBuffer) -> [Plane] {
    func plane(_ start: UnsafeMutableRawPointer?, _ stride: Int, _ rows: Int) -> Plane {
      Plane(UnsafeRawBufferPointer(start: start, count: start == nil ? 0 : stride * rows), stride: stride)
    }
    guard CVPixelBufferIsPlanar(frame) else {
      let (stride, rows) = (CVPixelBufferGetBytesPerRow(frame), CVPixelBufferGetHeight(frame))
      return [plane(CVPixelBufferGetBaseAddress(frame), stride, rows)]
    }
    return (0..<CVPixelBufferGetPlaneCount(frame)).map {
      plane(
        CVPixelBufferGetBaseAddressOfPlane(frame, $0), CVPixelBufferGetBytesPerRowOfPlane(frame, $0),
        CVPixelBufferGetHeightOfPlane(frame, $0))
    }
  }

  private func isBT709(_ frame: CVPixelBuffer) -> Bool {
    let matrix = CVBufferCopyAttachment(frame, kCVImageBufferYCbCrMatrixKey, nil)
    return matrix.map { CFEqual($0, kCVImageBufferYCbCrMatrix_ITU_R_709_2) } ?? false
  }
#endif

#if canImport(CoreGraphics)
  import CoreGraphics

  extension Preprocessor {
    /// A picture, drawn once as 8-bit sRGB on black. Its EXIF orientation is not part of a CGImage.
    public func run<T: Element>(
      _ picture: CGImage, orientation: Int = 1, selection: Selection? = nil, as: T.Type = T.self
    ) throws -> [T] {
      try withImage(of: picture, orientation: orientation) { try run($0, selection: selection) }
    }
  }

  /// The picture's pixels as an image, while `body` runs.
  public func withImage<R>(of picture: CGImage, orientation: Int = 1, _ body: (Image) throws -> R) throws -> R {
    let (width, height) = (picture.width, picture.height)
    var pixels = [UInt8](repeating: 0, count: width * height * 4)
    let drawn = pixels.withUnsafeMutableBytes { memory -> Bool in
      guard
        let space = CGColorSpace(name: CGColorSpace.sRGB),
        let context = CGContext(
          data: memory.baseAddress, width: width, height: height, bitsPerComponent: 8, bytesPerRow: width * 4,
          space: space, bitmapInfo: CGImageAlphaInfo.noneSkipLast.rawValue)
      else { return false }
      context.draw(picture, in: CGRect(x: 0, y: 0, width: width, height: height))
      return true
    }
    guard drawn else {
      throw EdgeskinError(status: "ES_BAD_VALUE", message: "the picture cannot be drawn as 8-bit sRGB")
    }
    return try pixels.withUnsafeBytes {
      try body(Image(.rgba, width: width, height: height, planes: [Plane($0)], orientation: orientation))
    }
  }
#endif
