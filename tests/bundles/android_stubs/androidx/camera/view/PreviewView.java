package androidx.camera.view;

import android.content.Context;
import android.widget.FrameLayout;

public final class PreviewView extends FrameLayout {
  public PreviewView(Context context) {
    super(context);
  }

  public CameraController getController() {
    return null;
  }

  public void setController(CameraController cameraController) {}
}
