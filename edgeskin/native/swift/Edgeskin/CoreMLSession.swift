// A model on Core ML: pixels in as an image, outputs as they are.

#if canImport(CoreML) && canImport(CryptoKit)
  import CoreML
  import CoreVideo
  import Foundation

  public final class CoreMLSession: ModelSession, @unchecked Sendable {
    public let computeUnits: String

    private let model: MLModel
    private let input: String
    private let width, height: Int
    private let buffer: CVPixelBuffer
    private let turn = NSLock()  // the buffer and the model serve one call at a time

    /// Where the compiled model lies; nil for one from memory.
    private let compiled: Compiled?

    private struct Compiled {
      let url: URL
      /// For this session alone, and gone with it.
      let isTemporary: Bool
    }

    /// Loads a `.mlpackage`, which is compiled first, or a compiled `.mlmodelc`.
    ///
    /// With `sha256`, of the package, a package of another hash is refused, and nothing that was
    /// compiled earlier is trusted. Without it, a package is compiled once and kept among the caches.
    public convenience init(
      contentsOf url: URL, sha256: String? = nil, computeUnits: MLComputeUnits = .all
    ) async throws {
      guard FileManager.default.fileExists(atPath: url.path) else {
        throw ModelError.missing(file: url.lastPathComponent)
      }
      let configuration = MLModelConfiguration()
      configuration.computeUnits = computeUnits
      let compiled = try await CoreMLSession.compiled(url, sha256: sha256)
      do {
        let model = try await MLModel.load(contentsOf: compiled.url, configuration: configuration)
        try self.init(model, compiled, computeUnits)
      } catch let error as ModelError {
        throw error
      } catch {
        if compiled.url != url { try? FileManager.default.removeItem(at: compiled.url) }
        throw ModelError.runtime("\(url.lastPathComponent) cannot be loaded: \(error.localizedDescription)")
      }
    }

    /// Loads a model from memory, for files that the app decrypts itself.
    @available(macOS 13.0, iOS 16.0, *)
    public convenience init(asset: MLModelAsset, computeUnits: MLComputeUnits = .all) async throws {
      let configuration = MLModelConfiguration()
      configuration.computeUnits = computeUnits
      let model: MLModel
      do {
        model = try await MLModel.load(asset: asset, configuration: configuration)
      } catch {
        throw ModelError.runtime("the model cannot be loaded: \(error.localizedDescription)")
      }
      try self.init(model, nil, computeUnits)
    }

    private init(_ model: MLModel, _ compiled: Compiled?, _ units: MLComputeUnits) throws {
      let inputs = model.modelDescription.inputDescriptionsByName
      guard inputs.count == 1, let (name, description) = inputs.first, let image = description.imageConstraint else {
        throw ModelError.unsuitable(reason: "the model takes \(inputs.keys.sorted()), one image is expected")
      }
      (self.model, self.compiled, input) = (model, compiled, name)
      (width, height) = (image.pixelsWide, image.pixelsHigh)
      var buffer: CVPixelBuffer?
      let shared = NSDictionary(
        object: NSDictionary(), forKey: kCVPixelBufferIOSurfacePropertiesKey as NSString)
      let status = CVPixelBufferCreate(
        nil, width, height, kCVPixelFormatType_32BGRA, shared as CFDictionary, &buffer)
      guard status == kCVReturnSuccess, let buffer else {
        throw ModelError.runtime("no pixel buffer of \(width) x \(height): CVReturn \(status)")
      }
      self.buffer = buffer
      computeUnits = units.name
    }

    deinit {
      if let compiled, compiled.isTemporary { try? FileManager.default.removeItem(at: compiled.url) }
    }

    public func run(_ pixels: [UInt8]) throws -> Outputs {
      guard pixels.count == width * height * 3 else {
        throw ModelError.unsuitable(
          reason: "the model takes \(width) x \(height) pixels, its spec makes \(pixels.count / 3)")
      }
      turn.lock()
      defer { turn.unlock() }
      try write(pixels)
      let found: any MLFeatureProvider
      do {
        let image = MLFeatureValue(pixelBuffer: buffer)
        found = try model.prediction(from: MLDictionaryFeatureProvider(dictionary: [input: image]))
      } catch {
        throw ModelError.runtime("the model does not run: \(error.localizedDescription)")
      }
      var outputs: Outputs = [:]
      for name in found.featureNames {
        guard let values = found.featureValue(for: name)?.multiArrayValue else { continue }
        outputs[name] = MLShapedArray<Float>(converting: values).scalars
      }
      return outputs
    }

    private func write(_ pixels: [UInt8]) throws {
      guard CVPixelBufferLockBaseAddress(buffer, []) == kCVReturnSuccess,
        let start = CVPixelBufferGetBaseAddress(buffer)
      else { throw ModelError.runtime("the model's pixel buffer cannot be locked") }
      defer { CVPixelBufferUnlockBaseAddress(buffer, []) }
      let stride = CVPixelBufferGetBytesPerRow(buffer)
      pixels.withUnsafeBufferPointer { pixels in
        for y in 0..<height {
          let row = (start + y * stride).assumingMemoryBound(to: UInt8.self)
          for x in 0..<width {
            let (from, to) = ((y * width + x) * 3, x * 4)
            (row[to], row[to + 1], row[to + 2], row[to + 3]) = (pixels[from + 2], pixels[from + 1], pixels[from], 255)
          }
        }
      }
    }

    /// Operations by engine from iOS 17.4 and macOS 14.4 on, of a model that lies on disk.
    public func computePlan() async throws -> ComputePlan {
      guard #available(macOS 14.4, iOS 17.4, *), let compiled else {
        return ComputePlan(asked: computeUnits, operations: nil)
      }
      let configuration = MLModelConfiguration()
      configuration.computeUnits = model.configuration.computeUnits
      let plan = try await MLComputePlan.load(contentsOf: compiled.url, configuration: configuration)
      guard case .program(let program) = plan.modelStructure, let main = program.functions["main"] else {
        return ComputePlan(asked: computeUnits, operations: nil)
      }
      var counts: [String: Int] = [:]
      for operation in main.block.operations {
        guard let usage = plan.deviceUsage(for: operation) else { continue }  // a constant
        counts[usage.preferred.name, default: 0] += 1
      }
      return ComputePlan(asked: computeUnits, operations: counts)
    }

    // ---- From a package to a compiled model

    private static func compiled(_ url: URL, sha256: String?) async throws -> Compiled {
      if url.pathExtension == "mlmodelc" {
        guard sha256 == nil else {
          throw ModelError.unsuitable(
            reason: "\(url.lastPathComponent) is compiled, and its SHA-256 is not known: ship the .mlpackage")
        }
        return Compiled(url: url, isTemporary: false)
      }
      if let sha256 {
        try check(url, sha256: sha256)
        return Compiled(url: try await compile(url), isTemporary: true)
      }
      let folder = try FileManager.default.url(
        for: .cachesDirectory, in: .userDomainMask, appropriateFor: nil, create: true
      ).appendingPathComponent("edgeskin", isDirectory: true)
      let kept = folder.appendingPathComponent(try Edgeskin.sha256(of: url) + ".mlmodelc", isDirectory: true)
      if !FileManager.default.fileExists(atPath: kept.path) {
        let fresh = try await compile(url)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        do {
          try FileManager.default.moveItem(at: fresh, to: kept)
        } catch {  // another session was first
          guard FileManager.default.fileExists(atPath: kept.path) else { throw error }
        }
      }
      return Compiled(url: kept, isTemporary: false)
    }

    private static func compile(_ package: URL) async throws -> URL {
      do {
        if #available(macOS 13.0, iOS 16.0, *) { return try await MLModel.compileModel(at: package) }
        return try compileOnEarlierSystems(package)
      } catch {
        throw ModelError.runtime("\(package.lastPathComponent) cannot be compiled: \(error.localizedDescription)")
      }
    }

    private static func compileOnEarlierSystems(_ package: URL) throws -> URL { try MLModel.compileModel(at: package) }
  }

  extension MLComputeUnits {
    fileprivate var name: String {
      if #available(macOS 13.0, iOS 16.0, *), self == .cpuAndNeuralEngine { return "cpuAndNeuralEngine" }
      switch self {
      case .cpuOnly: return "cpuOnly"
      case .cpuAndGPU: return "cpuAndGPU"
      case .all: return "all"
      default: return "unknown (\(rawValue))"
      }
    }
  }

  @available(macOS 14.0, iOS 17.0, *)
  extension MLComputeDevice {
    fileprivate var name: String {
      switch self {
      case .cpu: return "CPU"
      case .gpu: return "GPU"
      case .neuralEngine: return "Neural Engine"
      @unknown default: return "another"
      }
    }
  }
#endif
