// What edgeskin uses of Apple's ImageIO, to type-check against where there is no Apple SDK.
public enum CGImagePropertyOrientation: UInt32, Sendable {
  case up = 1
  case upMirrored, down, downMirrored, leftMirrored, right, rightMirrored, left
}
