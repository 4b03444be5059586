// One line of cases.txt: its values by key, and what the Swift API makes of them.

import Edgeskin
import Foundation

struct Case {
  let function, name: String
  var given: [String: String] = [:]
  var expected: [String: String] = [:]
  let data: [UInt8]

  init(_ line: String, _ data: [UInt8]) {
    self.data = data
    let sides = line.components(separatedBy: " => ")
    let words = sides[0].split(separator: " ").map(String.init)
    (function, name) = (words[0], words[1])
    for word in words.dropFirst(2) { Case.put(word, &given) }
    let results = sides[1].components(separatedBy: " message=")
    for word in results[0].split(separator: " ") { Case.put(String(word), &expected) }
    if results.count > 1 { expected["message"] = results[1] }
  }

  private static func put(_ word: String, _ values: inout [String: String]) {
    let equals = word.firstIndex(of: "=")!
    values[String(word[..<equals])] = String(word[word.index(after: equals)...])
  }

  /// nil if every result is equal in every bit, else what differs first.
  func difference() -> String? {
    var found: [String: Value]
    do {
      found = try run()
    } catch let error as EdgeskinError {
      found = ["status": .text(error.status), "message": .text(error.message)]
    } catch {
      return "\(error)"
    }
    for (key, text) in expected.sorted(by: { $0.key < $1.key }) {
      guard let value = found.removeValue(forKey: key) else { return "\(key) is missing, got \(found)" }
      if !value.equals(text, self) { return "\(key) is \(value), expected \(text)" }
    }
    return function == "recipe_from_spec" || found.isEmpty ? nil : "\(found.keys.sorted()) are not expected"
  }

  // ---- Values

  func int(_ key: String, _ otherwise: Int = 0) -> Int { given[key].map { Int($0)! } ?? otherwise }
  func double(_ key: String, _ otherwise: Double = 0) -> Double { given[key].map { Double($0)! } ?? otherwise }

  func list(_ key: String) -> [String] { (given[key] ?? "").split(separator: ",").map(String.init) }
  func doubles(_ key: String) -> [Double] { list(key).map { Double($0)! } }

  func blob(_ text: String) -> [UInt8] {
    let ends = text.split(separator: ":").map { Int($0)! }
    return Array(data[ends[0]..<ends[0] + ends[1]])
  }
  func blob(key: String) -> [UInt8] { given[key].map { blob($0) } ?? [] }

  func choice<C: Choice>(_ key: String, _ otherwise: C) -> C {
    guard let name = given[key] else { return otherwise }
    return C(code: Int32(name) ?? codes[name]!)
  }
}

/// Names of edgeskin.h's enums; no two of them mean different numbers.
let codes: [String: Int32] = [
  "rgb": 0, "bgr": 1, "rgba": 2, "bgra": 3, "grey": 4, "nv12": 5, "nv21": 6, "i420": 7,
  "bt601": 0, "bt709": 1, "video_range": 0, "full_range": 1,
  "squash": 0, "shortest_edge": 1, "letterbox": 2,
  "nearest": 0, "box": 1, "bilinear": 2, "hamming": 3, "bicubic": 4, "lanczos": 5,
  "uint8": 0, "int8": 1, "float32": 2, "float16": 3, "nhwc": 0, "nchw": 1,
  "no_activation": 0, "softmax": 1, "sigmoid": 2,
]

/// A result, compared with how cases.txt writes it.
enum Value {
  case text(String)
  case bytes([UInt8])
  case numbers([Double])
  case code(Int32)

  func equals(_ written: String, _ golden: Case) -> Bool {
    switch self {
    case .text(let text): return text == written
    case .bytes(let bytes): return bytes == golden.blob(written)
    case .code(let code): return code == codes[written]
    case .numbers(let numbers):
      let expected = written.split(separator: ",").map { Double($0)!.bitPattern }
      return numbers.map(\.bitPattern) == expected
    }
  }

  static func floats(_ values: [Float]) -> Value { .bytes(values.withUnsafeBytes(Array.init)) }
  static func number<N: BinaryInteger>(_ value: N) -> Value { .numbers([Double(value)]) }
}
