// Each function of edgeskin.h through the Swift API.

import Edgeskin
import Foundation

struct Unknown: Error { let function: String }

extension Case {
  func run() throws -> [String: Value] {
    switch function {
    case "preprocess", "preprocess_masked": return try preprocess()
    case "place": return try placed()
    case "recipe_from_spec": return try fromSpec()
    case "dequantize":
      return try tensor("tensor") { ["values": .floats(try $0.dequantized(int("count")))] }
    case "classify":
      let found = try tensor("logits") {
        try classify($0, classes: int("classes"), activation: choice("activation", .none), top: int("top_count"))
      }
      for (index, score) in found.top where found.scores[index] != score { return ["score": .number(index)] }
      return ["scores": .floats(found.scores), "top": .numbers(found.top.map { Double($0.index) })]
    case "measure": return try measured()
    case "grade": return ["grade": .number(try grade(double("value"), upper: doubles("upper")))]
    case "segment":
      let placement = try recipe().place(image([]))
      let found = try tensor("logits") {
        try segment(
          $0, classes: int("classes"), width: int("width"), height: int("height"), layout: choice("layout", .nhwc),
          placement: placement)
      }
      return ["mask": .bytes(found.mask.pixels), "counts": .numbers(found.counts.map(Double.init))]
    case "components":
      let found = try components(
        mask("mask"), value: int("value"), connectivity: int("connectivity"), minArea: Int64(int("min_area")),
        capacity: int("capacity"))
      return boxes(found.boxes, found.count)
    case "find_crops":
      var rule = CropRule(
        side: int("rule.side"), step: int("rule.step"), skinValue: int("rule.skin_value"),
        lesionValue: int("rule.lesion_value"))
      (rule.minSkin, rule.minLesion) = (double("rule.min_skin"), double("rule.min_lesion"))
      rule.maxOverlap = double("rule.max_overlap")
      let found = try findCrops(skin: mask("skin"), lesion: mask("lesion"), rule: rule, capacity: int("capacity"))
      return boxes(found.boxes, found.count)
    default: throw Unknown(function: function)
    }
  }

  private func image(_ planes: [Plane]) -> Image {
    var image = Image(
      choice("image.format", .rgb), width: int("image.width"), height: int("image.height"), planes: planes,
      orientation: int("image.orientation", 1))
    image.matrix = choice("image.matrix", image.matrix)
    image.range = choice("image.range", image.range)
    return image
  }

  private func recipe() -> Recipe {
    var r = Recipe(width: int("recipe.width"), height: int("recipe.height"))
    (r.fit, r.filter) = (choice("recipe.fit", r.fit), choice("recipe.filter", r.filter))
    (r.resizeTo, r.padValue) = (int("recipe.resize_to"), int("recipe.pad_value"))
    (r.channels, r.type) = (choice("recipe.channels", r.channels), choice("recipe.type", r.type))
    r.layout = choice("recipe.layout", r.layout)
    (r.scale, r.zeroPoint) = (double("recipe.scale", r.scale), int("recipe.zero_point"))
    let (crop, mean, std) = (doubles("recipe.crop"), doubles("recipe.mean"), doubles("recipe.std"))
    if !crop.isEmpty { r.crop = (Float(crop[0]), Float(crop[1]), Float(crop[2]), Float(crop[3])) }
    if !mean.isEmpty { r.mean = (mean[0], mean[1], mean[2]) }
    if !std.isEmpty { r.std = (std[0], std[1], std[2]) }
    return r
  }

  private func preprocess() throws -> [String: Value] {
    let blobs = list("image.planes").map { Aligned(blob($0)) }
    defer { withExtendedLifetime(blobs) {} }
    let strides = list("image.strides").map { Int($0)! }
    let planes = blobs.enumerated().map { i, b in Plane(b.bytes, stride: i < strides.count ? strides[i] : nil) }
    let preprocessor = Preprocessor(recipe: recipe())
    if given["output_bytes"] == nil, let typed = try typed(preprocessor, image(planes), selection()) {
      return ["output": .bytes(typed)]
    }
    let output = Aligned([UInt8](repeating: 0, count: try int("output_bytes", preprocessor.recipe.outputBytes())))
    try preprocessor.run(image(planes), into: output.memory, selection: selection())
    return ["output": .bytes(Array(output.bytes))]
  }

  /// Through the typed arrays.
  private func typed(_ preprocessor: Preprocessor, _ image: Image, _ chosen: Selection?) throws -> [UInt8]? {
    func bytes<T: Edgeskin.Element>(_ type: T.Type) throws -> [UInt8] {
      try preprocessor.run(image, selection: chosen, as: type).withUnsafeBytes(Array.init)
    }
    switch preprocessor.recipe.type {
    case .uint8: return try bytes(UInt8.self)
    case .int8: return try bytes(Int8.self)
    case .float32: return try bytes(Float.self)
    case .float16: return try bytes(Float16.self)
    default: return nil
    }
  }

  private func placed() throws -> [String: Value] {
    let p = try recipe().place(image([]))
    return [
      "image_width": .number(p.imageWidth), "image_height": .number(p.imageHeight),
      "orientation": .number(p.orientation), "crop": .numbers(p.crop.map(Double.init)),
      "resized_width": .number(p.resizedWidth), "resized_height": .number(p.resizedHeight),
      "left": .number(p.left), "top": .number(p.top), "width": .number(p.width), "height": .number(p.height),
    ]
  }

  private func fromSpec() throws -> [String: Value] {
    let r = try Preprocessor(spec: blob(key: "text")).recipe
    let found: [String: Value] = [
      "recipe.width": .number(r.width), "recipe.height": .number(r.height), "recipe.fit": .code(r.fit.code),
      "recipe.resize_to": .number(r.resizeTo), "recipe.filter": .code(r.filter.code),
      "recipe.pad_value": .number(r.padValue), "recipe.channels": .code(r.channels.code),
      "recipe.type": .code(r.type.code), "recipe.layout": .code(r.layout.code),
      "recipe.mean": .numbers([r.mean.0, r.mean.1, r.mean.2]),
      "recipe.std": .numbers([r.std.0, r.std.1, r.std.2]),
    ]
    let plain = Recipe(width: r.width, height: r.height)  // what is not expected must be as it was
    guard
      expected["recipe.fit"] != nil || r.fit == plain.fit, expected["recipe.filter"] != nil || r.filter == plain.filter,
      expected["recipe.resize_to"] != nil || r.resizeTo == 0, expected["recipe.pad_value"] != nil || r.padValue == 0,
      expected["recipe.channels"] != nil || r.channels == plain.channels,
      expected["recipe.mean"] != nil || r.mean == plain.mean, expected["recipe.std"] != nil || r.std == plain.std
    else { return ["recipe": .text("\(r)")] }
    return found
  }

  private func measured() throws -> [String: Value] {
    let q = try tensor("logits") {
      try measure(
        $0, size: int("size"), activation: choice("activation", .none), first: double("first"), step: double("step"),
        share: double("share"), upper: doubles("upper"))
    }
    return [
      "mass": .floats(q.mass), "expectation": .numbers([q.expectation]), "mode": .numbers([q.mode]),
      "low": .numbers([q.low]), "high": .numbers([q.high]), "grade": .number(q.grade),
    ]
  }

  private func tensor<R>(_ key: String, _ body: (Tensor) throws -> R) rethrows -> R {
    let data = Aligned(blob(key: key + ".data"))
    defer { withExtendedLifetime(data) {} }
    return try body(
      Tensor(
        data.bytes, choice(key + ".type", .float32), scale: double(key + ".scale", 1),
        zeroPoint: int(key + ".zero_point")))
  }

  private func mask(_ key: String) -> Mask {
    Mask(blob(key: key + ".pixels"), width: int(key + ".width"), height: int(key + ".height"))
  }

  private func selection() -> Selection? {
    guard given["selection.mask.pixels"] != nil else { return nil }
    var chosen = Selection(mask("selection.mask"), keep: Set(doubles("selection.keep").map { UInt8($0) }))
    let fill = doubles("selection.fill").map { UInt8($0) }
    if !fill.isEmpty { chosen.fill = (fill[0], fill[1], fill[2]) }
    return chosen
  }

  private func boxes(_ found: [Box], _ count: Int) -> [String: Value] {
    let numbers = found.flatMap {
      [Double($0.left), Double($0.top), Double($0.width), Double($0.height), Double($0.area), $0.x, $0.y]
    }
    return ["boxes": .numbers(numbers), "count": .number(count)]
  }
}

/// Bytes at an address that suits every type.
final class Aligned {
  let memory: UnsafeMutableRawBufferPointer
  var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(memory) }

  init(_ bytes: [UInt8]) {
    memory = .allocate(byteCount: bytes.count, alignment: 16)
    memory.copyBytes(from: bytes)
  }
  deinit { memory.deallocate() }
}
