// A camera's pixels to a model's input, in one call.

import CEdgeskin

/// What a model eats: es_recipe of edgeskin.h.
public struct Recipe: Sendable {
  public var width: Int
  public var height: Int
  public var fit = Fit.squash
  public var resizeTo = 0
  public var filter = Filter.bilinear
  public var padValue = 0
  /// Left, top, right, bottom in pixels of the upright image; nil is all of it.
  public var crop: (Float, Float, Float, Float)?
  /// rgb, bgr or grey.
  public var channels = PixelFormat.rgb
  public var type = ElementType.uint8
  public var layout = Layout.nhwc
  public var mean = (0.0, 0.0, 0.0)
  public var std = (1.0, 1.0, 1.0)
  public var scale = 1.0 / 255.0
  public var zeroPoint = 0

  public init(width: Int, height: Int) { (self.width, self.height) = (width, height) }

  public init(spec: String) throws { try self.init(spec: Array(spec.utf8)) }

  /// The recipe of a model: the bytes of its spec.json, or of the "input" in it. Float32, NCHW;
  /// set `type`, `layout`, `scale` and `zeroPoint` as the artifact's input tensor says.
  public init(spec: [UInt8]) throws {
    var c = es_recipe()
    try spec.withUnsafeBufferPointer { utf8 in
      try utf8.withMemoryRebound(to: CChar.self) { chars in
        try check { es_recipe_from_spec(chars.baseAddress, chars.count, &c, $0) }
      }
    }
    (width, height, resizeTo) = (Int(c.width), Int(c.height), Int(c.resize_to))
    (fit, filter, padValue) = (Fit(code: c.fit), Filter(code: c.filter), Int(c.pad_value))
    (channels, type, layout) = (PixelFormat(code: c.channels), ElementType(code: c.type), Layout(code: c.layout))
    (mean, std, scale, zeroPoint) = (c.mean, c.std, c.scale, Int(c.zero_point))
  }

  func c() throws -> es_recipe {
    var c = es_recipe()
    try check { es_recipe_init(Int32(size: width), Int32(size: height), &c, $0) }
    if let crop {
      guard crop != (0, 0, 0, 0) else {  // to C that would be the whole image
        throw EdgeskinError(status: "ES_BAD_CROP", message: "the crop is empty")
      }
      c.crop = crop
    }
    (c.fit, c.filter, c.channels) = (fit.code, filter.code, channels.code)
    (c.type, c.layout) = (type.code, layout.code)
    (c.resize_to, c.pad_value) = (Int32(size: resizeTo), Int32(size: padValue))
    (c.mean, c.std, c.scale, c.zero_point) = (mean, std, scale, Int32(size: zeroPoint))
    return c
  }

  /// Bytes of the output.
  public func outputBytes() throws -> Int {
    var (c, bytes) = (try c(), 0)
    try check { es_output_bytes(&c, &bytes, $0) }
    return bytes
  }

  /// How the image's pixels map to the output's, to find the way back.
  public func place(_ image: Image) throws -> Placement {
    var (image, recipe, placement) = (try image.c(), try c(), es_placement())
    try check { es_place(&image, &recipe, &placement, $0) }
    return Placement(placement)
  }
}

/// A recipe with the memory that it needs: keep one per thread and model.
public final class Preprocessor {
  public var recipe: Recipe
  private let workspace = Workspace()

  public init(recipe: Recipe) { self.recipe = recipe }

  public convenience init(
    spec: String, type: ElementType = .float32, layout: Layout = .nchw,
    scale: Double = 1.0 / 255.0, zeroPoint: Int = 0
  ) throws {
    try self.init(spec: Array(spec.utf8), type: type, layout: layout, scale: scale, zeroPoint: zeroPoint)
  }

  /// From the bytes of spec.json; quantized inputs say their `type`, `scale` and `zeroPoint` here.
  public init(
    spec: [UInt8], type: ElementType = .float32, layout: Layout = .nchw,
    scale: Double = 1.0 / 255.0, zeroPoint: Int = 0
  ) throws {
    recipe = try Recipe(spec: spec)
    (recipe.type, recipe.layout, recipe.scale, recipe.zeroPoint) = (type, layout, scale, zeroPoint)
  }

  /// Writes the model's input into `output`: a tensor's own memory, without a copy. With a
  /// selection the image's other pixels are its `fill`.
  public func run(_ image: Image, into output: UnsafeMutableRawBufferPointer, selection: Selection? = nil) throws {
    var (image, recipe) = (try image.c(), try recipe.c())
    let scratch = try workspace.reserve { es_preprocess_workspace(&image, &recipe, $0, $1) }
    func run(_ selection: UnsafePointer<es_selection>?) throws {
      try check {
        es_preprocess_masked(
          &image, &recipe, selection, output.baseAddress, output.count, scratch.baseAddress, scratch.count, $0)
      }
    }
    guard let selection else { return try run(nil) }
    try selection.withC { try run(&$0) }
  }

  /// The model's input as an array of the recipe's type.
  public func run<T: Element>(_ image: Image, selection: Selection? = nil, as: T.Type = T.self) throws -> [T] {
    let count = try recipe.outputBytes() / MemoryLayout<T>.stride
    guard T.type == recipe.type else {
      throw EdgeskinError(
        status: "ES_BAD_VALUE", message: "the recipe's type is \(recipe.type.code), the array's \(T.type.code)")
    }
    return try [T](unsafeUninitializedCapacity: count) { buffer, filled in
      try run(image, into: UnsafeMutableRawBufferPointer(buffer), selection: selection)
      filled = count
    }
  }

  /// Pixels of a one-plane format that lie in an array.
  public func run<T: Element>(
    _ pixels: [UInt8], _ format: PixelFormat = .rgb, width: Int, height: Int, stride: Int? = nil,
    orientation: Int = 1, selection: Selection? = nil, as: T.Type = T.self
  ) throws -> [T] {
    try pixels.withUnsafeBytes {
      let planes = [Plane($0, stride: stride)]
      let image = Image(format, width: width, height: height, planes: planes, orientation: orientation)
      return try run(image, selection: selection)
    }
  }
}
