// One network of an app, whatever runs it: an image in, decoded values out.

/// Decoded values of one image by name of output, row-major.
public typealias Outputs = [String: [Float]]

/// A model's file on a runtime. Core ML is one; a file of another kind is one more.
public protocol ModelSession: Sendable {
  /// What the runtime was asked to compute on.
  var computeUnits: String { get }

  /// Runs once, and blocks until it is done. Several threads may call it; they take turns.
  ///
  /// `pixels` are red, green and blue, rows side by side, of the size that the model takes.
  func run(_ pixels: [UInt8]) throws -> Outputs

  /// What the runtime plans to compute where.
  func computePlan() async throws -> ComputePlan
}

/// Where a model is computed, as far as its runtime tells.
public struct ComputePlan: Equatable, Sendable {
  /// What was asked for: "all", "cpuAndNeuralEngine".
  public let asked: String
  /// Operations by the engine that the runtime prefers for them; nil where it does not tell. It is
  /// a plan: what ran in the end, only Instruments shows.
  public let operations: [String: Int]?

  public init(asked: String, operations: [String: Int]?) {
    (self.asked, self.operations) = (asked, operations)
  }
}

/// A session, and what turns an image into its pixels.
public struct Stage: Sendable {
  public let recipe: Recipe
  public let session: any ModelSession

  /// `spec` is the model's spec.json.
  public init(spec: [UInt8], session: any ModelSession) throws {
    var recipe = try Recipe(spec: spec)
    // Files for apps take pixels as they are, and normalize them inside.
    (recipe.channels, recipe.mean, recipe.std) = (.rgb, (0, 0, 0), (1, 1, 1))
    (recipe.type, recipe.layout, recipe.scale, recipe.zeroPoint) = (.uint8, .nhwc, 1.0 / 255.0, 0)
    (self.recipe, self.session) = (recipe, session)
  }

  public func run(_ image: Image, selection: Selection? = nil) throws -> Outputs {
    try session.run(Preprocessor(recipe: recipe).run(image, selection: selection))
  }
}

extension Outputs {
  /// The values of an output that must have `count` of them.
  func values(_ name: String, _ count: Int) throws -> [Float] {
    guard let values = self[name] else {
      throw ModelError.unsuitable(reason: "the model has no output \(name), but \(keys.sorted())")
    }
    guard values.count == count else {
      throw ModelError.unsuitable(reason: "the output \(name) has \(values.count) values, \(count) are expected")
    }
    return values
  }
}
