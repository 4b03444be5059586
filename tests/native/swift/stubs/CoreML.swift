// What edgeskin uses of Apple's Core ML, to type-check against where there is no Apple SDK.
import CoreVideo
import Foundation

public enum MLComputeUnits: Int, Sendable { case cpuOnly, cpuAndGPU, all, cpuAndNeuralEngine }

open class MLModelConfiguration: NSObject { open var computeUnits = MLComputeUnits.all }

open class MLModel: NSObject {
  open var configuration: MLModelConfiguration { MLModelConfiguration() }
  open var modelDescription: MLModelDescription { MLModelDescription() }
  open class func compileModel(at modelURL: URL) throws -> URL { modelURL }
  open class func compileModel(at modelURL: URL) async throws -> URL { modelURL }
  open class func load(contentsOf url: URL, configuration: MLModelConfiguration) async throws -> MLModel { MLModel() }
  open class func load(asset: MLModelAsset, configuration: MLModelConfiguration) async throws -> MLModel { MLModel() }
  open func prediction(from input: any MLFeatureProvider) throws -> any MLFeatureProvider { input }
  open func prediction(from input: any MLFeatureProvider) async throws -> any MLFeatureProvider { input }
}

open class MLModelAsset: NSObject {}

open class MLModelDescription: NSObject {
  open var inputDescriptionsByName: [String: MLFeatureDescription] { [:] }
}
open class MLFeatureDescription: NSObject { open var imageConstraint: MLImageConstraint? { nil } }
open class MLImageConstraint: NSObject {
  open var pixelsHigh: Int { 0 }
  open var pixelsWide: Int { 0 }
}

public protocol MLFeatureProvider: AnyObject {
  var featureNames: Set<String> { get }
  func featureValue(for featureName: String) -> MLFeatureValue?
}
open class MLDictionaryFeatureProvider: NSObject, MLFeatureProvider {
  public init(dictionary: [String: Any]) throws {}
  open var featureNames: Set<String> { [] }
  open func featureValue(for featureName: String) -> MLFeatureValue? { nil }
}
open class MLFeatureValue: NSObject {
  public init(pixelBuffer: CVPixelBuffer) {}
  open var multiArrayValue: MLMultiArray? { nil }
}
open class MLMultiArray: NSObject {}
public struct MLShapedArray<Scalar> {
  public init(converting multiArray: MLMultiArray) {}
  public var scalars: [Scalar] { [] }
}

public final class MLComputePlan: NSObject, Sendable {
  public struct DeviceUsage: Sendable { public let preferred: MLComputeDevice }
  public static func load(contentsOf: URL, configuration: MLModelConfiguration) async throws -> MLComputePlan {
    MLComputePlan()
  }
  public var modelStructure: MLModelStructure { .unsupported }
  public func deviceUsage(for operation: MLModelStructure.Program.Operation) -> DeviceUsage? { nil }
}
public enum MLModelStructure: Sendable {
  public struct Program: Sendable {
    public struct Operation: Sendable {}
    public struct Block: Sendable { public let operations: [Operation] }
    public struct Function: Sendable { public let block: Block }
    public let functions: [String: Function]
  }
  case program(Program)
  case unsupported
}
public final class MLCPUComputeDevice: NSObject, Sendable {}
public final class MLGPUComputeDevice: NSObject, Sendable {}
public final class MLNeuralEngineComputeDevice: NSObject, Sendable {}
public enum MLComputeDevice: Sendable {
  case cpu(MLCPUComputeDevice)
  case gpu(MLGPUComputeDevice)
  case neuralEngine(MLNeuralEngineComputeDevice)
}
