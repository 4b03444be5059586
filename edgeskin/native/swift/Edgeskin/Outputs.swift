// A model's output to an answer: classes, quantities, grades.

import CEdgeskin

/// A model's output: memory of the caller's. Integers stand for scale * (q - zeroPoint).
public struct Tensor {
  public var data: UnsafeRawBufferPointer
  public var type: ElementType
  public var scale: Double
  public var zeroPoint: Int

  public init(_ data: UnsafeRawBufferPointer, _ type: ElementType, scale: Double = 1, zeroPoint: Int = 0) {
    (self.data, self.type, self.scale, self.zeroPoint) = (data, type, scale, zeroPoint)
  }

  func c() -> es_tensor {
    es_tensor(
      data: data.baseAddress, bytes: data.count, type: type.code, scale: scale, zero_point: Int32(size: zeroPoint))
  }

  /// `count` values as floats.
  public func dequantized(_ count: Int) throws -> [Float] {
    var tensor = c()
    return try floats(count, of: self) { es_dequantize(&tensor, count, $0, $1, $2) }
  }
}

extension Array where Element: Edgeskin.Element {
  /// The array as a model's output, while `body` runs.
  public func withTensor<R>(scale: Double = 1, zeroPoint: Int = 0, _ body: (Tensor) throws -> R) rethrows -> R {
    try withUnsafeBytes { try body(Tensor($0, Element.type, scale: scale, zeroPoint: zeroPoint)) }
  }
}

public struct Classification: Sendable {
  public let scores: [Float]
  /// The best, in falling order; the lower index first among equals.
  public let top: [(index: Int, score: Float)]
}

/// `classes` values to scores and the best `top` of them.
public func classify(_ logits: Tensor, classes: Int, activation: Activation = .softmax, top: Int = 1) throws
  -> Classification
{
  var (tensor, best) = (logits.c(), [es_class](repeating: es_class(), count: max(0, min(top, classes))))
  let scores = try floats(classes, of: logits) {
    es_classify(&tensor, Int32(size: classes), activation.code, $0, $1, &best, Int32(size: top), $2)
  }
  return Classification(scores: scores, top: best.map { (Int($0.index), $0.score) })
}

/// A quantity as a distribution over first, first + step, ...
public struct Quantity: Sendable {
  public let mass: [Float]
  public let expectation, mode: Double
  /// The central interval that holds at least `share` of the mass.
  public let low, high: Double
  /// The grade with the most mass; -1 without a range table.
  public let grade: Int
}

/// `size` values to a quantity; `upper` are inclusive upper bounds of all grades but the last.
public func measure(
  _ logits: Tensor, size: Int, activation: Activation = .softmax, first: Double, step: Double = 1,
  share: Double = 0.9, upper: [Double] = []
) throws -> Quantity {
  var (tensor, q) = (logits.c(), es_quantity())
  let mass = try floats(size, of: logits) {
    es_measure(
      &tensor, Int32(size: size), activation.code, first, step, share, upper, Int32(size: upper.count), $0, $1, &q, $2)
  }
  return Quantity(
    mass: mass, expectation: q.expectation, mode: q.mode, low: q.low, high: q.high, grade: Int(q.grade))
}

/// The grade of a value: index of the first bound that it does not exceed, else how many there are.
public func grade(_ value: Double, upper: [Double]) throws -> Int {
  var grade: Int32 = 0
  try check { es_grade(value, upper, Int32(size: upper.count), &grade, $0) }
  return Int(grade)
}

/// `count` floats that a C function fills. A count that the tensor cannot have is for it to refuse.
private func floats(
  _ count: Int, of tensor: Tensor,
  _ fill: (UnsafeMutablePointer<Float>?, Int, UnsafeMutablePointer<es_error>) -> es_status
) throws -> [Float] {
  var values = [Float](repeating: 0, count: max(0, min(count, tensor.data.count)))
  try values.withUnsafeMutableBufferPointer { buffer in
    try check { fill(buffer.baseAddress, buffer.count * MemoryLayout<Float>.stride, $0) }
  }
  return values
}
