// A model as an app calls it: the ways in which it takes an image.

#if canImport(Dispatch)
  import Dispatch
#endif

/// What answers for an image.
public protocol ImageModel: Sendable {
  associatedtype Answer: Sendable

  /// Blocks until the answer is there: call it on a queue of your own, not on the main one.
  func predict(_ image: Image) throws -> Answer
}

#if canImport(CoreVideo) && canImport(ImageIO)
  import CoreVideo
  import ImageIO

  extension ImageModel {
    /// A camera frame, read in place. `orientation` says how its pixels are turned upright: `.right`
    /// for the back camera of a phone that is held upright.
    public func predict(_ frame: CVPixelBuffer, orientation: CGImagePropertyOrientation = .up) async throws -> Answer {
      let frame = Borrowed(frame)
      return try await offTheCaller { try self.predict(frame.value, orientation: orientation) }
    }

    /// The same, for a camera's queue: blocks until the answer is there.
    public func predict(_ frame: CVPixelBuffer, orientation: CGImagePropertyOrientation = .up) throws -> Answer {
      try withImage(of: frame, orientation: Int(orientation.rawValue)) { try predict($0) }
    }
  }
#endif

#if canImport(CoreGraphics) && canImport(ImageIO)
  import CoreGraphics

  extension ImageModel {
    /// A picture. `orientation` is that of its file, which is not part of a CGImage.
    public func predict(_ picture: CGImage, orientation: CGImagePropertyOrientation = .up) async throws -> Answer {
      let picture = Borrowed(picture)
      return try await offTheCaller { try self.predict(picture.value, orientation: orientation) }
    }

    /// The same, for a queue of your own: blocks until the answer is there.
    public func predict(_ picture: CGImage, orientation: CGImagePropertyOrientation = .up) throws -> Answer {
      try withImage(of: picture, orientation: Int(orientation.rawValue)) { try predict($0) }
    }
  }

  /// Pixels of the caller's, which are only read, and kept alive, until the answer is there.
  private struct Borrowed<Value>: @unchecked Sendable {
    let value: Value
    init(_ value: Value) { self.value = value }
  }

  /// Runs `work` where it may block, away from the caller's actor.
  private func offTheCaller<T: Sendable>(_ work: @escaping @Sendable () throws -> T) async throws -> T {
    try Task.checkCancellation()
    return try await withCheckedThrowingContinuation { answer in
      DispatchQueue.global(qos: .userInitiated).async { answer.resume(with: Result(catching: work)) }
    }
  }
#endif
